//! Modules of a crate depend on each other in one direction, and every Rust file belongs to a
//! crate.
//!
//! A module depends on another if it imports or names, outside of tests, something that the other
//! declares. Re-exports are followed to the declaration, and re-exporting is no dependency: a
//! parent may present what its children declare, and the children may use each other through it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;

use crate::lint::rust::{self, Crate, ModuleId};
use crate::lint::sources::Sources;

pub(crate) fn check(sources: &Sources) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut orphans: BTreeSet<_> = sources.with_extension(&["rs"]).collect();
    for root in rust::roots(sources) {
        let tree = Crate::read(sources, root)?;
        for file in tree.files() {
            orphans.remove(file);
        }
        findings.extend(cycles(&tree));
    }
    findings.extend(
        orphans
            .into_iter()
            .map(|file| format!("{file}: no crate declares it as a module")),
    );
    Ok(findings)
}

/// For each module that a module depends on, the first line that says so.
type Dependencies = Vec<BTreeMap<ModuleId, usize>>;

/// One finding for each group of modules that all depend on each other: a shortest circle in it.
fn cycles(tree: &Crate) -> Vec<String> {
    let dependencies = dependencies(tree);
    let mut reported = BTreeSet::new();
    let mut findings = Vec::new();
    for module in 0..tree.modules.len() {
        if reported.contains(&module) {
            continue;
        }
        let Some(circle) = shortest_circle(&dependencies, module) else {
            continue;
        };
        let group = group(&dependencies, module);
        findings.push(describe(tree, &dependencies, &circle, &group));
        reported.extend(group);
    }
    findings
}

fn dependencies(tree: &Crate) -> Dependencies {
    let mut dependencies = vec![BTreeMap::new(); tree.modules.len()];
    for (id, module) in tree.modules.iter().enumerate() {
        if module.is_test {
            continue;
        }
        let imports = module
            .imports
            .iter()
            .filter(|import| !import.is_test && !import.is_reexport)
            .map(|import| (&import.path, import.line));
        let references = module
            .references
            .iter()
            .map(|reference| (&reference.path, reference.line));
        for (path, line) in imports.chain(references) {
            if let Some(other) = tree.declaring(id, path)
                && other != id
            {
                dependencies[id].entry(other).or_insert(line);
            }
        }
    }
    dependencies
}

/// The shortest way from a module back to itself.
fn shortest_circle(dependencies: &Dependencies, start: ModuleId) -> Option<Vec<ModuleId>> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for &next in dependencies[module].keys() {
            if next == start {
                let mut circle = vec![start];
                let mut at = module;
                while at != start {
                    circle.push(at);
                    at = came_from[&at];
                }
                circle[1..].reverse();
                return Some(circle);
            }
            if let Entry::Vacant(unseen) = came_from.entry(next) {
                unseen.insert(module);
                queue.push_back(next);
            }
        }
    }
    None
}

/// The modules that depend on `module` and that it depends on, itself among them.
fn group(dependencies: &Dependencies, module: ModuleId) -> BTreeSet<ModuleId> {
    let reachable = |start: ModuleId| {
        let mut seen = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            open.extend(dependencies[at].keys().filter(|next| seen.insert(**next)));
        }
        seen
    };
    reachable(module)
        .into_iter()
        .filter(|other| reachable(*other).contains(&module))
        .collect()
}

fn describe(
    tree: &Crate,
    dependencies: &Dependencies,
    circle: &[ModuleId],
    group: &BTreeSet<ModuleId>,
) -> String {
    let next = circle.iter().cycle().skip(1);
    let steps: Vec<_> = circle
        .iter()
        .zip(next)
        .map(|(from, to)| {
            let module = &tree.modules[*from];
            let line = dependencies[*from][to];
            format!(
                "{} uses {} ({}:{line})",
                module.path, tree.modules[*to].path, module.file
            )
        })
        .collect();
    let mut finding = format!("modules depend on each other: {}", steps.join("; "));
    let others: Vec<_> = group
        .iter()
        .filter(|module| !circle.contains(module))
        .map(|module| tree.modules[*module].path.as_str())
        .collect();
    if !others.is_empty() {
        finding.push_str("; further circles lead through ");
        finding.push_str(&others.join(", "));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::sources::Scratch;

    fn findings(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let scratch = Scratch::new(name);
        check(&Sources::in_folder(scratch.path(), files)).unwrap()
    }

    #[test]
    fn a_circle_is_shown_with_the_lines_that_make_it() {
        let findings = findings(
            "circle",
            &[
                ("src/lib.rs", "mod a;\nmod b;\nmod c;\n"),
                ("src/a.rs", "use crate::b::B;\n\npub struct A(B);\n"),
                ("src/b.rs", "\npub struct B;\nfn f() { crate::c::c() }\n"),
                ("src/c.rs", "pub fn c() { let _ = vec![super::a::A]; }\n"),
            ],
        );
        assert_eq!(
            findings,
            [
                "modules depend on each other: crate::a uses crate::b (src/a.rs:1); \
              crate::b uses crate::c (src/b.rs:3); crate::c uses crate::a (src/c.rs:1)"
            ]
        );
    }

    #[test]
    fn circles_that_share_a_module_are_one_finding() {
        let findings = findings(
            "circles",
            &[
                ("src/lib.rs", "mod a;\nmod b;\nmod c;\n"),
                (
                    "src/a.rs",
                    "use crate::b::B;\nuse crate::c::C;\npub struct A;\n",
                ),
                ("src/b.rs", "use crate::a::A;\npub struct B;\n"),
                ("src/c.rs", "use crate::a::A;\npub struct C;\n"),
            ],
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].ends_with("; further circles lead through crate::c"));
    }

    #[test]
    fn a_parent_and_its_child_are_no_exception() {
        let findings = findings(
            "parent",
            &[
                ("src/lib.rs", "mod a;\n"),
                ("src/a.rs", "mod b;\nuse b::B;\npub struct A(B);\n"),
                (
                    "src/a/b.rs",
                    "pub struct B;\nimpl From<super::A> for B {}\n",
                ),
            ],
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains("crate::a::b uses crate::a (src/a/b.rs:2)"));
    }

    #[test]
    fn a_reexport_is_a_way_and_not_a_dependency() {
        let findings = findings(
            "reexport",
            &[
                ("src/lib.rs", "mod a;\n"),
                ("src/a.rs", "mod b;\nmod c;\npub use b::B;\npub use c::*;\n"),
                ("src/a/b.rs", "use super::C;\npub struct B(C);\n"),
                ("src/a/c.rs", "pub struct C;\n"),
            ],
        );
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn tests_may_use_what_they_test() {
        let findings = findings(
            "tests",
            &[
                ("src/lib.rs", "mod a;\nmod b;\n"),
                ("src/a.rs", "use crate::b::B;\npub struct A(B);\n"),
                (
                    "src/b.rs",
                    "#[cfg(test)]\nuse crate::a::A;\npub struct B;\n\
                     #[cfg(test)]\nmod tests { use super::*; fn f(a: crate::a::A) {} }\n",
                ),
            ],
        );
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_no_crate_declares_is_found() {
        let findings = findings(
            "orphan",
            &[
                ("src/lib.rs", "mod a { mod b; }\n"),
                ("src/a/b.rs", ""),
                ("src/c.rs", ""),
            ],
        );
        assert_eq!(findings, ["src/c.rs: no crate declares it as a module"]);
    }
}
