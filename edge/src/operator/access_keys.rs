//! The public keys of a team in Cloudflare Access, in an isolate's memory.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use serde_json::Value;

use crate::time::Timestamp;

/// How long keys are used before they are read again. Access signs with a new key every six weeks,
/// and publishes the one before for another week.
const FRESH: Duration = Duration::from_hours(1);
/// How long keys are used while they cannot be read again.
const KEPT: Duration = Duration::from_hours(24);
/// How rarely keys are read again, however many unknown ids requests name.
const PAUSE: Duration = Duration::from_mins(1);
/// How long it takes until keys are read again that could not be.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How many requests read them at once. None can wait for another's read: the platform would cancel
/// it with the request that began it.
const MOST_READERS: u32 = 4;
/// The most keys that are kept; Access publishes two.
const MOST_KEYS: usize = 16;
/// The lengths of a modulus of 2048 and of 8192 bits, in base64url.
const MODULUS_LENGTHS: [usize; 2] = [342, 1_366];
/// The longest exponent in base64url: eight octets.
const LONGEST_EXPONENT: usize = 11;
/// The longest key id.
const LONGEST_ID: usize = 256;

/// A public RSA key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaKey {
    /// The modulus, big-endian in base64url, as in a JSON Web Key (RFC 7518, section 6.3.1).
    pub modulus: String,
    /// The public exponent, written in the same way.
    pub exponent: String,
}

/// The keys of a key set (RFC 7517) by their ids.
pub(crate) type KeySet = Vec<(String, RsaKey)>;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The team does not publish it.
    Unknown,
    /// The team's keys cannot be read.
    Unread,
}

/// The keys that the isolate remembers.
#[derive(Debug, Default)]
pub(crate) struct AccessKeys {
    held: RefCell<Held>,
    readers: Cell<u32>,
}

#[derive(Debug, Default)]
struct Held {
    keys: KeySet,
    read_at: Option<Timestamp>,
    /// When they may be read again.
    pause_ends: Option<Timestamp>,
}

/// A request that reads the keys. If its client leaves, it is dropped before it has read them.
struct Reader<'k>(&'k Cell<u32>);

impl<'k> Reader<'k> {
    fn begin(readers: &'k Cell<u32>) -> Self {
        readers.set(readers.get().saturating_add(1));
        Self(readers)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

impl AccessKeys {
    /// The key with this id. If it is not known, or the keys are old, they are read by `read`,
    /// unless that was tried a short while ago.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(crate) async fn find(
        &self,
        id: &str,
        now: Timestamp,
        read: impl Future<Output = Option<KeySet>>,
    ) -> Result<RsaKey, NoKey> {
        if let Some(key) = self.held(id, now, FRESH) {
            return Ok(key);
        }
        let pause_ends = self.held.borrow().pause_ends;
        let may_read = pause_ends.is_none_or(|end| end <= now);
        if may_read && self.readers.get() < MOST_READERS {
            let _reader = Reader::begin(&self.readers);
            let keys = read.await;
            self.remember(keys, now);
        }
        let no_key = match self.age(now) {
            Some(age) if age < KEPT => NoKey::Unknown,
            _ => NoKey::Unread,
        };
        self.held(id, now, KEPT).ok_or(no_key)
    }

    /// What cannot be read leaves the keys as they are.
    fn remember(&self, keys: Option<KeySet>, now: Timestamp) {
        let mut held = self.held.borrow_mut();
        let pause = match keys {
            Some(keys) => {
                held.keys = keys;
                held.read_at = Some(now);
                PAUSE
            }
            None => PAUSE_AFTER_FAILURE,
        };
        held.pause_ends = Some(now.after(pause));
    }

    fn held(&self, id: &str, now: Timestamp, lifetime: Duration) -> Option<RsaKey> {
        self.age(now).filter(|age| *age < lifetime)?;
        let held = self.held.borrow();
        let mut keys = held.keys.iter();
        keys.find_map(|(known, key)| (known == id).then(|| key.clone()))
    }

    fn age(&self, now: Timestamp) -> Option<Duration> {
        let read_at = self.held.borrow().read_at;
        read_at.map(|at| now.since(at))
    }
}

/// The keys of a key set that sign by RS256; `None` if there are none.
pub(crate) fn parse_key_set(json: &str) -> Option<KeySet> {
    let set: Value = serde_json::from_str(json).ok()?;
    let keys = set.get("keys")?.as_array()?.iter().filter_map(rsa_key);
    let keys: KeySet = keys.take(MOST_KEYS).collect();
    (!keys.is_empty()).then_some(keys)
}

fn rsa_key(key: &Value) -> Option<(String, RsaKey)> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let is_usable = text("kty") == Some("RSA")
        && text("alg").is_none_or(|algorithm| algorithm == "RS256")
        && text("use").is_none_or(|purpose| purpose == "sig");
    let (id, modulus, exponent) = (text("kid")?, text("n")?, text("e")?);
    let [shortest, longest] = MODULUS_LENGTHS;
    let fits = (shortest..=longest).contains(&modulus.len())
        && exponent.len() <= LONGEST_EXPONENT
        && id.len() <= LONGEST_ID;
    (is_usable && fits).then(|| {
        let key = RsaKey {
            modulus: modulus.to_owned(),
            exponent: exponent.to_owned(),
        };
        (id.to_owned(), key)
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use futures_executor::block_on;

    use super::*;
    use crate::tables::testing::NOW;

    fn key(id: &str) -> (String, RsaKey) {
        let key = RsaKey {
            modulus: format!("modulus of {id}"),
            exponent: "AQAB".to_owned(),
        };
        (id.to_owned(), key)
    }

    /// Asks for a key at a time; gives whether the keys were read for it, and whether it was found.
    fn find(
        keys: &AccessKeys,
        id: &str,
        now: Timestamp,
        published: Option<&[&str]>,
    ) -> (bool, Result<RsaKey, NoKey>) {
        let is_read = Cell::new(false);
        let read = async {
            is_read.set(true);
            published.map(|ids| ids.iter().map(|id| key(id)).collect())
        };
        let found = block_on(keys.find(id, now, read));
        (is_read.get(), found)
    }

    fn seconds(count: u64) -> Timestamp {
        NOW.after(Duration::from_secs(count))
    }

    #[test]
    fn keys_are_remembered_and_read_again_if_they_are_old_or_one_is_not_known() {
        let keys = AccessKeys::default();
        let (a, b) = (Ok(key("a").1), Ok(key("b").1));
        assert_eq!(
            find(&keys, "a", seconds(0), Some(&["a"])),
            (true, a.clone())
        );
        assert_eq!(find(&keys, "a", seconds(3_599), None), (false, a));
        // Rotated. A key that is not published any more opens nothing once the keys are read again.
        let rotated = find(&keys, "b", seconds(3_599), Some(&["b"]));
        assert_eq!(rotated, (true, b.clone()));
        assert_eq!(
            find(&keys, "a", seconds(3_600), None).1,
            Err(NoKey::Unknown)
        );
        // An hour after they were read.
        let old = find(&keys, "b", seconds(7_199), Some(&["c", "b"]));
        assert_eq!(old, (true, b));
    }

    #[test]
    fn unknown_ids_have_the_keys_read_once_a_minute() {
        let keys = AccessKeys::default();
        let mut reads = Vec::new();
        for second in 0..180 {
            let made_up = format!("made-up-{second}");
            let (is_read, found) = find(&keys, &made_up, seconds(second), Some(&["a"]));
            assert_eq!(found, Err(NoKey::Unknown));
            reads.extend(is_read.then_some(second));
        }
        assert_eq!(reads, [0, 60, 120]);
        // The known one is found meanwhile.
        assert_eq!(
            find(&keys, "a", seconds(180), None),
            (false, Ok(key("a").1))
        );
    }

    #[test]
    fn while_keys_cannot_be_read_those_before_are_used_for_a_day() {
        let keys = AccessKeys::default();
        assert_eq!(
            find(&keys, "a", seconds(0), None),
            (true, Err(NoKey::Unread))
        );
        assert_eq!(
            find(&keys, "a", seconds(9), None),
            (false, Err(NoKey::Unread))
        );
        assert!(find(&keys, "a", seconds(10), Some(&["a"])).1.is_ok());
        let day = 24 * 3_600;
        assert!(find(&keys, "a", seconds(10 + day - 1), None).1.is_ok());
        let later = find(&keys, "a", seconds(10 + day + 10), None);
        assert_eq!(later, (true, Err(NoKey::Unread)));
        let back = find(&keys, "a", seconds(10 + day + 20), Some(&["a"]));
        assert_eq!(back, (true, Ok(key("a").1)));
    }

    #[test]
    fn few_requests_read_at_once_and_one_that_leaves_makes_room() {
        let keys = AccessKeys::default();
        let mut waiting: Vec<_> = (0..MOST_READERS)
            .map(|_| Box::pin(keys.find("a", NOW, pending())))
            .collect();
        for reader in &mut waiting {
            let polled = reader
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        assert_eq!(
            find(&keys, "a", NOW, Some(&["a"])),
            (false, Err(NoKey::Unread))
        );
        waiting.pop();
        assert_eq!(find(&keys, "a", NOW, Some(&["a"])), (true, Ok(key("a").1)));
        // Those that still read take what is remembered meanwhile.
        let polled =
            pin!(keys.find("a", NOW, pending())).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    }

    #[test]
    fn a_key_set_is_read_and_its_size_is_bounded() {
        let modulus = "m".repeat(342);
        let set = |keys: Value| parse_key_set(&serde_json::json!({ "keys": keys }).to_string());
        let good = serde_json::json!({ "kid": "a", "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": modulus, "e": "AQAB" });
        let read = set(serde_json::json!([good])).unwrap();
        assert_eq!(read[0].0, "a");
        assert_eq!(read[0].1.modulus, modulus);
        for (name, value) in [
            ("kty", "EC"),
            ("kty", "oct"),
            ("alg", "HS256"),
            ("alg", "RS512"),
            ("use", "enc"),
            ("n", "short"),
            ("n", &"m".repeat(1_367)),
            ("e", "AQABAQABAQAB"),
            ("kid", &"k".repeat(257)),
        ] {
            let mut bad = good.clone();
            bad[name] = value.into();
            assert_eq!(set(serde_json::json!([bad])), None, "{name}");
            // It does not hide the others.
            assert!(set(serde_json::json!([bad, good])).is_some(), "{name}");
        }
        for json in [
            "",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":[]}"#,
            r#"{"keys":[1]}"#,
        ] {
            assert_eq!(parse_key_set(json), None, "{json}");
        }
        let many = serde_json::Value::Array(vec![good; 100]);
        assert_eq!(set(many).unwrap().len(), MOST_KEYS);
    }
}
