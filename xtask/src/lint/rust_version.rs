//! The Rust version that `crl` promises, which is published on its own. clippy sees to it that
//! `crl` itself uses nothing newer of the standard library; here, that nothing below it needs more.

use std::collections::HashSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::command;
use super::dependencies::tree;
use crate::workspace::Workspace;

const PUBLISHED: &str = "crl";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let tree = tree(workspace, &["--package", PUBLISHED, "--all-features"])?;
    let mut metadata = workspace.cargo();
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    too_new(
        &tree,
        &serde_json::from_str(&command::printed(&mut metadata)?)?,
    )
}

/// The packages in the tree that need a newer Rust than [`PUBLISHED`] promises.
fn too_new(tree: &str, metadata: &Value) -> Result<Vec<String>> {
    // The depth, the name, and the version behind a `v`.
    let of_line = |line: &str| {
        let mut words = line.split(' ').skip(1);
        let name = words.next()?;
        Some((name.to_owned(), words.next()?.get(1..)?.to_owned()))
    };
    let in_tree: HashSet<_> = tree.lines().filter_map(of_line).collect();
    let mut promised = None;
    let mut needs = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let (name, rust) = (text("name"), text("rust_version"));
        if name == PUBLISHED {
            promised = Some(rust);
        } else if in_tree.contains(&(name.clone(), text("version"))) {
            needs.push((name, rust));
        }
    }
    let promised = promised.with_context(|| format!("there is no package {PUBLISHED}"))?;
    needs.retain(|(_, needed)| version(needed) > version(&promised));
    let finding =
        |(name, needed)| format!("{PUBLISHED} promises Rust {promised}, but {name} needs {needed}");
    Ok(needs.into_iter().map(finding).collect())
}

/// The numbers of a version, as they compare.
fn version(text: &str) -> [u32; 3] {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_found() {
        let package = |name: &str, version: &str, rust: Option<&str>| json!({"name": name, "version": version, "rust_version": rust});
        let metadata = json!({
            "packages": [
                package("crl", "0.1.0", Some("1.88")),
                package("hash", "1.0.0", Some("1.85.1")),
                package("deep", "1.0.0", Some("1.90")),
                // Another version, which something else uses.
                package("deep", "2.0.0", Some("1.99")),
                package("old", "1.0.0", None),
            ],
        });
        let tree = "0 crl v0.1.0 (/crl)\n1 hash v1.0.0\n2 deep v1.0.0\n1 old v1.0.0\n";
        assert_eq!(
            too_new(tree, &metadata).unwrap(),
            ["crl promises Rust 1.88, but deep needs 1.90"]
        );
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        assert!(version("1.100") > version("1.88.5"));
        assert_eq!(version("1.88"), version("1.88.0"));
    }
}
