//! Copies the committed CRL to KV: one value, or parts behind a manifest where it is too large for one.

use std::time::Duration;

use origin_api::{CrlName, IssuerId};

use crate::refresh::{Current, Doomed, Head, Metadata, PIECE_BYTES, Pieces, Replica, ReplicaError};
use crate::replica::{PART_BYTES, key, part_count, part_key, part_range};
use crate::time::Timestamp;

/// How many pieces a part has.
#[expect(clippy::cast_possible_truncation, reason = "20")]
const PIECES_PER_PART: u32 = (PART_BYTES / PIECE_BYTES as u64) as u32;

/// Writes `current` to KV. The manifest comes last: whoever reads it finds every part.
pub(super) async fn publish(
    replica: &impl Replica,
    issuer: &IssuerId,
    name: CrlName,
    current: &Current,
) -> Result<(), ReplicaError> {
    let Current { head, body, pieces } = current;
    let parts = part_count(head.size);
    let metadata = Metadata {
        head: head.clone(),
        parts,
    };
    let key = key(issuer, name);
    if parts == 0 {
        let all = Pieces {
            body: *body,
            first: 0,
            end: *pieces,
            size: head.size,
        };
        return replica.put_pieces(&key, all, Some(&metadata)).await;
    }
    for part in 0..parts {
        let first = part.saturating_mul(PIECES_PER_PART);
        let of_part = Pieces {
            body: *body,
            first,
            end: first.saturating_add(PIECES_PER_PART).min(*pieces),
            size: part_range(part, head.size).length,
        };
        let part_key = part_key(issuer, name, head.sha256, part);
        replica.put_pieces(&part_key, of_part, None).await?;
    }
    replica.put_manifest(&key, &metadata).await
}

/// The parts of CRLs that were replaced in KV at `now`: to be removed once no point of presence can still hold their manifest.
#[must_use]
pub(super) fn doomed_parts(
    issuer: &IssuerId,
    name: CrlName,
    replaced: &[Head],
    now: Timestamp,
    kv_cache_ttl: Duration,
) -> Vec<Doomed> {
    // KV takes up to a minute to spread a write, a reader keeps it for its cache's time, and then needs time to read on.
    let after = now.after(kv_cache_ttl.saturating_add(Duration::from_mins(10)));
    let parts_of = |head: &Head| {
        let sha256 = head.sha256;
        (0..part_count(head.size)).map(move |part| Doomed {
            key: part_key(issuer, name, sha256, part),
            after,
        })
    };
    replaced.iter().flat_map(parts_of).collect()
}
