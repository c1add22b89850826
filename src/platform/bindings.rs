//! The bindings of wrangler.toml by their names, and the settings, parsed once in each isolate.

use std::cell::OnceCell;
use std::rc::Rc;

use worker::{D1Database, Env, KvStore, ObjectNamespace};

use crate::config::{Settings, SettingsError};

thread_local! {
    static SETTINGS: OnceCell<Result<Rc<Settings>, SettingsError>> = const { OnceCell::new() };
}

/// What wrangler.toml binds.
#[derive(Clone, Debug)]
pub struct Bindings {
    /// The platform's own.
    pub env: Env,
}

impl Bindings {
    /// The settings.
    ///
    /// # Errors
    /// Names each wrong one.
    pub fn settings(&self) -> Result<Rc<Settings>, SettingsError> {
        SETTINGS.with(|settings| settings.get_or_init(|| self.parse().map(Rc::new)).clone())
    }

    fn parse(&self) -> Result<Settings, SettingsError> {
        Settings::parse(|name| self.env.var(name).ok().map(|value| value.to_string()))
    }

    /// The KV namespace `CRLS`.
    ///
    /// # Errors
    /// Where it is not bound.
    pub fn kv(&self) -> worker::Result<KvStore> {
        self.env.kv("CRLS")
    }

    /// The D1 database `DB`.
    ///
    /// # Errors
    /// Where it is not bound.
    pub fn d1(&self) -> worker::Result<D1Database> {
        self.env.d1("DB")
    }

    /// The issuers' objects, `ISSUERS`.
    ///
    /// # Errors
    /// Where they are not bound.
    pub fn issuers(&self) -> worker::Result<ObjectNamespace> {
        self.env.durable_object("ISSUERS")
    }

    /// The registry's object, `REGISTRY`.
    ///
    /// # Errors
    /// Where it is not bound.
    pub fn registry(&self) -> worker::Result<ObjectNamespace> {
        self.env.durable_object("REGISTRY")
    }
}
