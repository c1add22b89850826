//! The walls between packages: which packages of this tree may use which, and what `edge` must not
//! see. ARCHITECTURE.md says why.

use std::collections::BTreeMap;

use anyhow::Result;

use super::command;
use crate::toolchain::TARGET;
use crate::workspace::Workspace;

/// The package that decides everything and knows nothing of the platform.
const PURE: &str = "edge";

/// The platform's crates, none of which may be below [`PURE`].
const PLATFORM: [&str; 6] = [
    "js-sys",
    "wasm-bindgen",
    "wasm-bindgen-futures",
    "wasm-streams",
    "web-sys",
    "worker",
];

/// Packages of this tree, and those of this tree that each may use outside of tests.
const MAY_USE: [(&str, &[&str]); 11] = [
    ("crl-edge", &["edge", "crl", "origin-api"]),
    ("edge", &["crl", "origin-api"]),
    ("crl-origin", &["crl", "origin-api"]),
    ("crl", &[]),
    ("origin-api", &[]),
    // It runs the edge's logic and the origin in one process.
    ("simulation", &["edge", "crl", "crl-origin", "origin-api"]),
    ("end-to-end", &["crl", "origin-api"]),
    ("xtask", &[]),
    ("bindgen", &[]),
    ("bench-crl", &["crl"]),
    ("bench-crl-wasm", &["crl"]),
];

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut findings = foreign(&tree(
        workspace,
        &["--package", PURE, "--target", TARGET, "--no-dedupe"],
    )?);
    findings.extend(forbidden(&tree(
        workspace,
        &["--workspace", "--depth", "1"],
    )?));
    Ok(findings)
}

/// What `cargo tree` prints: each package with its depth and version.
pub(super) fn tree(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let mut tree = workspace.cargo();
    tree.args(["tree", "--locked", "--edges", "normal,build"])
        .args(["--prefix", "depth", "--format", " {p}"])
        .args(arguments);
    command::printed(&mut tree)
}

/// Each package of `cargo tree --prefix depth --format " {p}"`, with its depth.
fn packages(tree: &str) -> impl Iterator<Item = (usize, &str)> {
    tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let depth = words.next()?.parse().ok()?;
        Some((depth, words.next()?))
    })
}

/// The platform's crates below [`PURE`], each with the way to it.
fn foreign(tree: &str) -> Vec<String> {
    let mut way: Vec<&str> = Vec::new();
    let mut found = BTreeMap::new();
    for (depth, package) in packages(tree) {
        way.truncate(depth);
        way.push(package);
        if PLATFORM.contains(&package) {
            found.entry(package).or_insert_with(|| way.join(" -> "));
        }
    }
    found
        .into_iter()
        .map(|(package, way)| format!("{PURE} must not depend on {package}: {way}"))
        .collect()
}

/// Dependencies between this tree's packages that [`MAY_USE`] does not have.
fn forbidden(tree: &str) -> Vec<String> {
    let allowed = BTreeMap::from(MAY_USE);
    let mut findings = Vec::new();
    let mut user = "";
    for (depth, package) in packages(tree) {
        if depth == 0 {
            user = package;
            if !allowed.contains_key(package) {
                findings.push(format!(
                    "{package}: say in xtask/src/lint/dependencies.rs what it may use"
                ));
            }
        } else if allowed.contains_key(package)
            && allowed
                .get(user)
                .is_some_and(|allowed| !allowed.contains(&package))
        {
            findings.push(format!("{user} must not depend on {package}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_below_edge_is_found_however_deep() {
        let tree = "0 edge v0.1.0 (/edge)\n1 chrono v0.4.0\n2 js-sys v0.3.1\n1 uuid v1.0.0\n\
                    2 js-sys v0.3.1\n";
        assert_eq!(
            foreign(tree),
            ["edge must not depend on js-sys: edge -> chrono -> js-sys"]
        );
        assert_eq!(
            foreign("0 edge v0.1.0 (/edge)\n1 worker-macros-not v1\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_package_uses_only_what_it_may() {
        let tree = "0 crl v0.1.0 (/crl)\n1 der v0.8.0\n1 origin-api v0.1.0 (/origin/api)\n\n\
                    0 edge v0.1.0 (/edge)\n1 crl v0.1.0 (/crl)\n";
        assert_eq!(forbidden(tree), ["crl must not depend on origin-api"]);
    }

    #[test]
    fn a_new_package_needs_a_place() {
        assert_eq!(forbidden("0 novelty v0.1.0 (/novelty)\n").len(), 1);
    }
}
