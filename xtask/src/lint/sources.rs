//! The files of this checkout that git knows, which leaves out whatever a build has left behind.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::command;
use crate::workspace::Workspace;

/// The tracked files, and where they are.
pub(crate) struct Sources {
    root: PathBuf,
    files: Vec<String>,
}

impl Sources {
    /// Tracked files, and new ones that are not ignored, so that lint sees a file before `git add`.
    pub(crate) fn find(workspace: &Workspace) -> Result<Self> {
        let mut git = workspace.command("git");
        git.args(["ls-files", "--cached", "--others"]);
        git.args(["--exclude-standard", "-z"]);
        let listed = command::printed(&mut git)
            .context("lint needs git to list the files of this checkout")?;
        let root = workspace.root().to_owned();
        let mut files: Vec<_> = listed
            .split_terminator('\0')
            // One that was deleted, but not yet from the index.
            .filter(|file| root.join(file).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(Self { root, files })
    }

    #[cfg(test)]
    pub(crate) fn in_folder(root: &Path, files: &[(&str, &str)]) -> Self {
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self {
            root: root.to_owned(),
            files: files.iter().map(|(file, _)| (*file).to_owned()).collect(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Paths from the root, with `/`, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    pub(crate) fn with_extension(&self, extensions: &[&str]) -> impl Iterator<Item = &str> {
        self.all().filter(move |file| {
            Path::new(file)
                .extension()
                .is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
        })
    }

    pub(crate) fn contains(&self, file: &str) -> bool {
        self.files.iter().any(|known| known == file)
    }

    pub(crate) fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }
}

/// A folder for one test, removed when it ends.
#[cfg(test)]
pub(crate) struct Scratch(PathBuf);

#[cfg(test)]
impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
