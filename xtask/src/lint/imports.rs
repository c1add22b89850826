//! Imports have one form: three blocks (the standard library; other crates; this crate) with an
//! empty line between them, and in a block one `use` item for each module.
//!
//! rustfmt sorts within a block; on the stable toolchain it neither makes blocks nor merges items.
//! Re-exports and items with an attribute stand where their author put them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;

use anyhow::{Result, anyhow};
use syn::{Item, ItemUse, UseTree, Visibility};

use crate::lint::sources::Sources;

/// Whose item is imported; in the order of the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    Std,
    External,
    Crate,
}

pub(crate) fn check(sources: &Sources) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in sources.with_extension(&["rs"]) {
        let text = sources.read(file)?;
        for (line, wrong) in wrong_imports(&parse(file, &text)?, &text) {
            findings.push(format!("{file}:{line}: {wrong}"));
        }
    }
    Ok(findings)
}

/// Rewrites imports that have another form, unless a comment or another item stands among them.
pub(crate) fn fix(sources: &Sources) -> Result<()> {
    for file in sources.with_extension(&["rs"]) {
        let text = sources.read(file)?;
        let repaired = repaired(&parse(file, &text)?, &text);
        if repaired != text {
            fs::write(sources.root().join(file), repaired)?;
        }
    }
    Ok(())
}

fn parse(file: &str, text: &str) -> Result<Vec<Item>> {
    let syntax = syn::parse_file(text)
        .map_err(|error| anyhow!("{file}:{}: {error}", error.span().start().line))?;
    Ok(syntax.items)
}

/// What is wrong in these items and in modules among them, with the line.
fn wrong_imports(items: &[Item], text: &str) -> Vec<(usize, String)> {
    let mut wrong = in_body(items, text);
    for inner in inner_modules(items) {
        wrong.extend(wrong_imports(inner, text));
    }
    wrong
}

fn in_body(items: &[Item], text: &str) -> Vec<(usize, String)> {
    let imports = imports(items);
    let lines: Vec<_> = text.lines().collect();
    let mut wrong = Vec::new();
    for (before, after) in imports.iter().zip(imports.iter().skip(1)) {
        let line = after.item.use_token.span.start().line;
        let gap = before.item.semi_token.span.end().line..line - 1;
        let is_empty = |line: &&str| line.trim().is_empty();
        let has_empty = lines[gap.clone()].iter().any(is_empty);
        if after.index > before.index + 1 {
            wrong.push((line, "another item stands among the imports".to_owned()));
        } else if before.block > after.block {
            wrong.push((
                line,
                "imports are not in the order std, other crates, this crate".to_owned(),
            ));
        } else if before.block == after.block && has_empty {
            wrong.push((line, "an empty line splits a block of imports".to_owned()));
        } else if before.block < after.block && !has_empty {
            wrong.push((
                line,
                "no empty line between two blocks of imports".to_owned(),
            ));
        }
    }
    let mut modules = BTreeSet::new();
    for import in &imports {
        let line = import.item.use_token.span.start().line;
        match module(&import.item.tree) {
            None => wrong.push((line, "one item imports from several modules".to_owned())),
            Some(module) if !module.is_empty() && !modules.insert(module.clone()) => {
                wrong.push((line, format!("two items import from {module}")));
            }
            Some(_) => {}
        }
    }
    wrong
}

struct Import<'a> {
    /// Among the items of the module.
    index: usize,
    block: Block,
    item: &'a ItemUse,
}

fn imports(items: &[Item]) -> Vec<Import<'_>> {
    let modules: BTreeSet<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(module) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match item {
            Item::Use(item)
                if item.attrs.is_empty() && matches!(item.vis, Visibility::Inherited) =>
            {
                let block = block(item, &modules);
                Some(Import { index, block, item })
            }
            _ => None,
        })
        .collect()
}

fn block(item: &ItemUse, modules: &BTreeSet<String>) -> Block {
    let first = match &item.tree {
        UseTree::Path(path) => path.ident.to_string(),
        UseTree::Name(name) => name.ident.to_string(),
        UseTree::Rename(rename) => rename.ident.to_string(),
        UseTree::Glob(_) | UseTree::Group(_) => return Block::External,
    };
    match first.as_str() {
        "std" | "core" | "alloc" => Block::Std,
        "crate" | "self" | "super" => Block::Crate,
        name if item.leading_colon.is_none() && modules.contains(name) => Block::Crate,
        _ => Block::External,
    }
}

/// The module that an item imports from; `None` if there are several.
fn module(tree: &UseTree) -> Option<String> {
    match tree {
        UseTree::Path(path) => {
            let inner = module(&path.tree)?;
            let name = path.ident.to_string();
            Some(if inner.is_empty() {
                name
            } else {
                format!("{name}::{inner}")
            })
        }
        UseTree::Group(group) => {
            let is_name = |tree: &UseTree| !matches!(tree, UseTree::Path(_) | UseTree::Group(_));
            group.items.iter().all(is_name).then(String::new)
        }
        UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => Some(String::new()),
    }
}

fn inner_modules(items: &[Item]) -> impl Iterator<Item = &[Item]> {
    items.iter().filter_map(|item| match item {
        Item::Mod(module) => module.content.as_ref().map(|(_, items)| items.as_slice()),
        _ => None,
    })
}

fn repaired(items: &[Item], text: &str) -> String {
    let mut repaired = text.to_owned();
    // From the end, so that the places before keep their offsets.
    let mut bodies = replacements(items, text);
    bodies.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, imports) in bodies {
        repaired.replace_range(place, &imports);
    }
    repaired
}

fn replacements(items: &[Item], text: &str) -> Vec<(Range<usize>, String)> {
    let mut found: Vec<_> = inner_modules(items)
        .flat_map(|inner| replacements(inner, text))
        .collect();
    let imports = imports(items);
    if let (Some(first), Some(last)) = (imports.first(), imports.last())
        && !in_body(items, text).is_empty()
        && last.index - first.index + 1 == imports.len()
    {
        let place = first.item.use_token.span.byte_range().start
            ..last.item.semi_token.span.byte_range().end;
        if !text[place.clone()].contains("//") {
            found.push((place, written(&imports)));
        }
    }
    found
}

/// The items in their form; rustfmt lays them out.
fn written(imports: &[Import<'_>]) -> String {
    let mut blocks: BTreeMap<Block, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for import in imports {
        let modules = blocks.entry(import.block).or_default();
        let root = if import.item.leading_colon.is_some() {
            "::"
        } else {
            ""
        };
        names(&import.item.tree, root.to_owned(), modules);
    }
    let blocks = blocks.values().map(|modules| {
        let items = modules.iter().map(|(module, names)| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            match names.as_slice() {
                ["self"] => format!("use {};", module.trim_end_matches("::")),
                [name] => format!("use {module}{name};"),
                names => format!("use {module}{{{}}};", names.join(", ")),
            }
        });
        items.collect::<Vec<_>>().join("\n")
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// Sorts the names of an item by the module that they are in, as `a::b::`.
fn names(tree: &UseTree, before: String, modules: &mut BTreeMap<String, BTreeSet<String>>) {
    let name = match tree {
        UseTree::Path(path) => {
            return names(&path.tree, format!("{before}{}::", path.ident), modules);
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                names(tree, before.clone(), modules);
            }
            return;
        }
        UseTree::Name(name) => name.ident.to_string(),
        UseTree::Rename(rename) => format!("{} as {}", rename.ident, rename.rename),
        UseTree::Glob(_) => "*".to_owned(),
    };
    // Names of the root cannot share an item: `use {a, b};` is no form that anyone writes.
    if before.is_empty() {
        modules.entry(name).or_default().insert("self".to_owned());
    } else {
        modules.entry(before).or_default().insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
//! A file.

use std::fmt::{self, Write as _};
use std::io;

use anyhow::Result;
use serde_json::*;

use crate::a::{A, B};
use crate::{c, d};
use inner::E;
use super::F;

mod inner;
pub use crate::a::C;
#[cfg(test)]
use crate::a::D;

mod tests {
    use super::*;
}
";

    fn wrong(text: &str) -> Vec<(usize, String)> {
        wrong_imports(&parse("test.rs", text).unwrap(), text)
    }

    fn fixed(text: &str) -> String {
        repaired(&parse("test.rs", text).unwrap(), text)
    }

    #[test]
    fn the_form_passes_and_is_left_alone() {
        assert_eq!(wrong(GOOD), []);
        assert_eq!(fixed(GOOD), GOOD);
    }

    #[test]
    fn each_departure_is_found() {
        for (text, line, reason) in [
            ("use a::A;\n\nuse std::io;\n", 3, "order"),
            ("use std::io;\nuse a::A;\n", 2, "no empty line"),
            ("use a::A;\n\nuse b::B;\n", 3, "splits"),
            ("use a::A;\nfn f() {}\nuse b::B;\n", 3, "another item"),
            ("use a::{b::C, D};\n", 1, "several modules"),
            ("use a::A;\nuse a::B;\n", 2, "two items import from a"),
            ("mod b;\nuse b::B;\nuse std::io;\n", 3, "order"),
            (
                "mod t {\n    use std::io;\n    use super::*;\n}\n",
                3,
                "no empty line",
            ),
        ] {
            let found = wrong(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].0, line, "{text}");
            assert!(found[0].1.contains(reason), "{text}: {found:?}");
        }
    }

    #[test]
    fn repair_makes_the_form() {
        let text = "\
use crate::{a::A, b};
use std::{io::{self, Read}, fmt};
use serde;
use crate::a::B as C;

mod tests {
    use super::*;
    use std::fs;
}
";
        let fixed = fixed(text);
        assert_eq!(
            fixed,
            "\
use std::fmt;
use std::io::{Read, self};

use serde;

use crate::b;
use crate::a::{A, B as C};

mod tests {
    use std::fs;

use super::*;
}
"
        );
        assert_eq!(wrong(&fixed), []);
    }

    #[test]
    fn repair_leaves_imports_with_a_comment_to_a_person() {
        let text = "use crate::a;\n// Why.\nuse std::fmt;\n";
        assert_eq!(fixed(text), text);
    }
}
