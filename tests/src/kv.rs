//! KV in the files that workerd keeps it in, for tests that lose a value or bring an old one back.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::types::Value as Column;

use crate::database::Database;

/// The edge's KV namespace.
pub struct Kv {
    index: Database,
    blobs: PathBuf,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The value itself.
    pub body: Vec<u8>,
    /// The metadata, in JSON.
    pub metadata: String,
}

impl Kv {
    /// The namespace of the edge with this state folder.
    #[must_use]
    pub fn in_state(state: &Path) -> Self {
        let folder = state.join("v3/kv");
        Self {
            index: Database::in_folder(&folder.join("miniflare-KVNamespaceObject")),
            blobs: folder.join("00000000000000000000000000000000/blobs"),
        }
    }

    /// The value of `key`, if it exists and has metadata.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Value> {
        let rows = self.index.query(&format!(
            "SELECT blob_id, metadata FROM _mf_entries WHERE key = '{key}'"
        ));
        let row = rows.first()?;
        match (&row["blob_id"], &row["metadata"]) {
            (Column::Text(blob), Column::Text(metadata)) => Some(Value {
                body: fs::read(self.blobs.join(blob)).ok()?,
                metadata: metadata.clone(),
            }),
            _ => None,
        }
    }

    /// Replaces the value of `key`.
    pub fn put(&self, key: &str, value: &Value) {
        let Value { body, metadata } = value;
        assert!(!metadata.contains('\''), "a head has no quotes");
        fs::write(self.blobs.join("put-by-a-test"), body).expect("a blob");
        self.index.execute(&format!(
            "REPLACE INTO _mf_entries (key, blob_id, metadata) VALUES ('{key}', 'put-by-a-test', '{metadata}')"
        ));
    }

    /// Removes the keys that match an SQL `LIKE` pattern.
    pub fn remove(&self, like: &str) {
        let sql = format!("DELETE FROM _mf_entries WHERE key LIKE '{like}'");
        self.index.execute(&sql);
    }
}
