//! A hash over files and words, which shows whether something was made from exactly these.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Not cryptographic: it guards against forgetting a rebuild, not against an attacker. Another
/// compiler may hash differently, which costs one rebuild.
#[derive(Default)]
pub(crate) struct Fingerprint(DefaultHasher);

impl Fingerprint {
    pub(crate) fn word(&mut self, word: &str) -> &mut Self {
        self.bytes(word.as_bytes());
        self
    }

    /// Adds a file, or all files below a folder. A missing path is a state like any other.
    pub(crate) fn path(&mut self, path: &Path) -> Result<&mut Self> {
        for file in files_below(path)? {
            self.bytes(file.as_os_str().as_encoded_bytes());
            self.bytes(
                &fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?,
            );
        }
        Ok(self)
    }

    pub(crate) fn finish(&self) -> String {
        format!("{:016x}", self.0.finish())
    }

    /// Hashes the length too, so that no two sequences of pieces look alike.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(&bytes.len().to_le_bytes());
        self.0.write(bytes);
    }
}

fn files_below(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    entries.sort();
    let nested = entries
        .iter()
        .map(|entry| files_below(entry))
        .collect::<Result<Vec<_>>>()?;
    Ok(nested.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Fingerprint;

    fn of(path: &std::path::Path) -> String {
        let mut fingerprint = Fingerprint::default();
        fingerprint.path(path).unwrap();
        fingerprint.finish()
    }

    #[test]
    fn any_change_below_a_folder_changes_the_fingerprint() {
        let folder = std::env::temp_dir().join(format!("fingerprint-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/a"), "1").unwrap();
        let first = of(&folder);
        assert_eq!(first, of(&folder));

        fs::write(folder.join("deep/a"), "2").unwrap();
        let changed = of(&folder);
        fs::rename(folder.join("deep/a"), folder.join("deep/b")).unwrap();
        let renamed = of(&folder);
        fs::remove_dir_all(&folder).unwrap();

        assert_ne!(first, changed);
        assert_ne!(changed, renamed);
    }
}
