//! The registry's index as an isolate reads it: from its memory, from KV, or from the registry's
//! object.

use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};

use super::memory::Memory;
use super::ports::{KV_LIMIT, Platform};
use crate::object_calls::PlatformError;
use crate::registry::{Index, Listed};
use crate::time::within;

/// How long one request may read the index while the others of its isolate use the old one.
const READING: Duration = Duration::from_secs(2);

/// What the registry says of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IssuerListing {
    /// The issuer is listed.
    Known(Listed),
    /// It is not, and will not be for this long.
    Unknown(Duration),
    /// There is no index, and none can be read now.
    NoIndex,
}

/// The first index that is fresh enough to say which issuers do not exist: the isolate's, KV's, or
/// else that of the registry's object, whatever its age.
///
/// # Errors
/// None can be read at all.
pub(super) async fn index<P: Platform>(
    platform: &P,
    memory: &Memory<P::Chunk>,
    ttl: Duration,
) -> Result<Rc<Index>, PlatformError> {
    if let Some((index, until)) = memory.index() {
        let now = platform.now();
        if until > now {
            return Ok(index);
        }
        // A crowd that asks for unknown ids would otherwise read the index as many times.
        memory.keep_index(&index, now.after(READING));
    }
    let read = within(platform.sleep(KV_LIMIT), platform.kv_index()).await;
    let index = match read {
        Some(Ok(Some(index))) if index.is_fresh(platform.now(), ttl) => index,
        _ => platform.registry_index().await?,
    };
    let index = Rc::new(index);
    let now = platform.now();
    let until = if index.is_fresh(now, ttl) {
        index.read_at.after(ttl)
    } else {
        // The origin cannot be read: the object will not know more for a while.
        now.after(ttl)
    };
    memory.keep_index(&index, until);
    Ok(index)
}

/// Looks an issuer up. An issuer that was listed once is known; that one is not known, or does not
/// have this CRL, is said only by an index that is fresh.
pub(super) async fn lookup<P: Platform>(
    platform: &P,
    memory: &Memory<P::Chunk>,
    ttl: Duration,
    (issuer, name): (&IssuerId, CrlName),
) -> IssuerListing {
    let remembered = memory.index();
    let listed = remembered.and_then(|(index, _)| index.issuers.get(issuer).cloned());
    if let Some(listed) = listed.filter(|listed| listed.may_have(name)) {
        return IssuerListing::Known(listed);
    }
    match index(platform, memory, ttl).await {
        Ok(index) => {
            let listed = index.issuers.get(issuer).cloned();
            listed.map_or_else(
                || IssuerListing::Unknown(index.read_at.after(ttl).since(platform.now())),
                IssuerListing::Known,
            )
        }
        Err(error) => {
            platform.log(&serde_json::json!({
                "level": "error", "what": "no list of issuers", "cause": error.to_string(),
            }));
            IssuerListing::NoIndex
        }
    }
}
