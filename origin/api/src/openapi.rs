//! The schemas of types that are strings on the wire. Those of the others are derived.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::{CrlName, Der, IssuerId};

impl ToSchema for IssuerId {}
impl PartialSchema for IssuerId {
    fn schema() -> RefOr<Schema> {
        string("The stable short name of an issuer.")
            .pattern(Some("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))
            .into()
    }
}

impl ToSchema for CrlName {}
impl PartialSchema for CrlName {
    fn schema() -> RefOr<Schema> {
        string("Which list of an issuer.")
            .pattern(Some("^(full|delta|shard-(0|[1-9][0-9]{0,9}))$"))
            .into()
    }
}

impl ToSchema for Der {}
impl PartialSchema for Der {
    fn schema() -> RefOr<Schema> {
        let base64 = SchemaFormat::KnownFormat(KnownFormat::Byte);
        string("DER bytes, in base64 with padding.")
            .format(Some(base64))
            .into()
    }
}

fn string(description: &str) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::String)
        .description(Some(description))
}
