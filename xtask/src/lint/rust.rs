//! A crate as a tree of modules, read with `syn`: what each module declares, imports and refers to.
//!
//! No macro is expanded. Paths in a macro's arguments are found among its tokens if they begin with
//! `crate`, `self` or `super`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Ident, Item, ItemMod, Lit, UseTree, Visibility};

use crate::lint::sources::Sources;

/// An index into [`Crate::modules`].
pub(crate) type ModuleId = usize;

/// The module that every path of `crate::` begins in.
pub(crate) const ROOT: ModuleId = 0;

#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) modules: Vec<Module>,
}

#[derive(Debug)]
pub(crate) struct Module {
    /// `crate::issuer::flight`.
    pub(crate) path: String,
    /// From the checkout's root.
    pub(crate) file: String,
    pub(crate) parent: Option<ModuleId>,
    /// Compiled for tests alone, itself or by a module around it.
    pub(crate) is_test: bool,
    /// Names of items, other than modules and imports.
    pub(crate) items: HashSet<String>,
    pub(crate) children: Vec<(String, ModuleId)>,
    pub(crate) imports: Vec<Import>,
    /// Paths in signatures, bodies and macros, outside of tests.
    pub(crate) references: Vec<Reference>,
}

/// One name that a `use` item brings into a module.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// `None` for a glob.
    pub(crate) name: Option<String>,
    pub(crate) is_reexport: bool,
    pub(crate) is_test: bool,
    pub(crate) line: usize,
}

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// The crate roots among the files, by cargo's conventions.
pub(crate) fn roots<'a>(sources: &'a Sources) -> Vec<&'a str> {
    let is_root = |file: &&'a str| {
        let path: Vec<_> = file.split('/').collect();
        match path.as_slice() {
            [.., "src", "lib.rs" | "main.rs"] | [.., "src", "bin", _] | [.., "build.rs"] => true,
            // A folder of this name within src is a module.
            [.., "tests" | "benches" | "examples" | "fuzz_targets", _]
            | [.., "tests" | "benches", _, "main.rs"] => !path.contains(&"src"),
            _ => false,
        }
    };
    sources.with_extension(&["rs"]).filter(is_root).collect()
}

impl Crate {
    /// Reads the crate with this root, and all files that its modules are in.
    pub(crate) fn read(sources: &Sources, root: &str) -> Result<Self> {
        let folder = Path::new(root).parent().unwrap_or(Path::new(""));
        let mut reader = Reader {
            sources,
            modules: Vec::new(),
        };
        reader.file("crate", root, folder, None, false)?;
        Ok(Self {
            modules: reader.modules,
        })
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(|module| module.file.as_str())
    }

    /// The module in which what `path` names is declared, as seen from `from`; imports are followed
    /// to where they lead. `None` for a path that leaves the crate.
    pub(crate) fn declaring(&self, from: ModuleId, path: &[String]) -> Option<ModuleId> {
        match self.resolve(from, path, DEPTH)? {
            Found::Module(module) | Found::ItemOf(module) => Some(module),
        }
    }

    fn resolve(&self, from: ModuleId, path: &[String], depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let (first, mut rest) = path.split_first()?;
        let mut module = match first.as_str() {
            "crate" => ROOT,
            "self" => from,
            "super" => self.modules[from].parent?,
            name => match self.member(from, name, depth)? {
                Found::Module(module) => module,
                // An associated item, a variant or a single name.
                item @ Found::ItemOf(_) => return Some(item),
            },
        };
        while let Some((name, after)) = rest.split_first() {
            if name == "super" {
                module = self.modules[module].parent?;
            } else if name != "self" {
                match self.member(module, name, depth) {
                    Some(Found::Module(inner)) => module = inner,
                    Some(item) => return Some(item),
                    // What a macro declares: it can only be here.
                    None => return Some(Found::ItemOf(module)),
                }
            }
            rest = after;
        }
        Some(Found::Module(module))
    }

    /// What `name` means in a module.
    fn member(&self, module: ModuleId, name: &str, depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let Module {
            children,
            items,
            imports,
            ..
        } = &self.modules[module];
        if let Some((_, child)) = children.iter().find(|(child, _)| child == name) {
            return Some(Found::Module(*child));
        }
        if items.contains(name) {
            return Some(Found::ItemOf(module));
        }
        let named = imports
            .iter()
            .find(|import| import.name.as_deref() == Some(name));
        if let Some(import) = named {
            // `use name;` of an external crate would lead to itself.
            let is_itself = import.path.len() == 1 && import.path[0] == name;
            return (!is_itself).then(|| self.resolve(module, &import.path, depth))?;
        }
        imports
            .iter()
            .filter(|import| import.name.is_none())
            .filter_map(|glob| self.declaring_module(module, &glob.path, depth))
            .filter(|target| *target != module)
            .find_map(|target| self.member(target, name, depth))
    }

    fn declaring_module(&self, from: ModuleId, path: &[String], depth: usize) -> Option<ModuleId> {
        match self.resolve(from, path, depth)? {
            Found::Module(module) => Some(module),
            Found::ItemOf(_) => None,
        }
    }
}

/// Re-exports that are followed before a path is given up; two globs may name each other.
const DEPTH: usize = 24;

#[derive(Clone, Copy)]
enum Found {
    Module(ModuleId),
    ItemOf(ModuleId),
}

struct Reader<'a> {
    sources: &'a Sources,
    modules: Vec<Module>,
}

impl Reader<'_> {
    /// `folder` is where the files of this file's modules are.
    fn file(
        &mut self,
        path: &str,
        file: &str,
        folder: &Path,
        parent: Option<ModuleId>,
        is_test: bool,
    ) -> Result<ModuleId> {
        let text = self.sources.read(file)?;
        let syntax = syn::parse_file(&text)
            .map_err(|error| anyhow!("{file}:{}: {error}", error.span().start().line))?;
        let is_test = is_test || syntax.attrs.iter().any(is_for_tests);
        self.module(path, file, folder, parent, is_test, &syntax.items)
    }

    fn module(
        &mut self,
        path: &str,
        file: &str,
        folder: &Path,
        parent: Option<ModuleId>,
        is_test: bool,
        items: &[Item],
    ) -> Result<ModuleId> {
        let id = self.modules.len();
        let mut contents = Contents::default();
        for item in items {
            contents.add(item);
        }
        self.modules.push(Module {
            path: path.to_owned(),
            file: file.to_owned(),
            parent,
            is_test,
            items: contents.items,
            children: Vec::new(),
            imports: contents.imports,
            references: contents.references,
        });
        for item in items {
            let Item::Mod(declared) = item else { continue };
            let name = declared.ident.to_string();
            let is_test = is_test || declared.attrs.iter().any(is_for_tests);
            let inner = format!("{path}::{name}");
            let child = if let Some((_, items)) = &declared.content {
                self.module(&inner, file, &folder.join(&name), Some(id), is_test, items)?
            } else {
                let (inner_file, inner_folder) = self
                    .locate(file, folder, declared)
                    .with_context(|| format!("{file} declares `mod {name}`"))?;
                self.file(&inner, &inner_file, &inner_folder, Some(id), is_test)?
            };
            self.modules[id].children.push((name, child));
        }
        Ok(id)
    }

    /// The file of a module that `file` declares, and the folder of its own modules.
    fn locate(&self, file: &str, folder: &Path, declared: &ItemMod) -> Result<(String, PathBuf)> {
        let mut places = Vec::new();
        if let Some(path) = path_attribute(declared) {
            let file = Path::new(file).with_file_name(path);
            let folder = file.parent().map_or_else(PathBuf::new, Path::to_owned);
            places.push((file, folder));
        } else {
            let name = declared.ident.to_string();
            places.push((folder.join(format!("{name}.rs")), folder.join(&name)));
            places.push((folder.join(&name).join("mod.rs"), folder.join(&name)));
        }
        for (file, folder) in places {
            let file = file.to_string_lossy().into_owned();
            if self.sources.contains(&file) {
                return Ok((file, folder));
            }
        }
        bail!("there is no such file in {}", folder.display())
    }
}

/// The file that `#[path = "…"]` names.
fn path_attribute(module: &ItemMod) -> Option<String> {
    module.attrs.iter().find_map(|attr| {
        let value = &attr.meta.require_name_value().ok()?.value;
        match value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(path),
                ..
            }) if attr.path().is_ident("path") => Some(path.value()),
            _ => None,
        }
    })
}

/// What one module's items say, its inner modules aside.
#[derive(Default)]
struct Contents {
    items: HashSet<String>,
    imports: Vec<Import>,
    references: Vec<Reference>,
}

impl Contents {
    fn add(&mut self, item: &Item) {
        let attrs = attributes(item);
        let is_test = attrs.iter().any(is_for_tests);
        if let Some(name) = declared_name(item) {
            self.items.insert(name.to_string());
        }
        match item {
            Item::Mod(_) => {}
            Item::Use(item) => {
                let line = item.use_token.span.start().line;
                let is_reexport = !matches!(item.vis, Visibility::Inherited);
                for (path, name) in leaves(&item.tree) {
                    self.imports.push(Import {
                        path,
                        name,
                        is_reexport,
                        is_test,
                        line,
                    });
                }
            }
            _ if is_test => {}
            _ => self.visit_item(item),
        }
    }
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.references.push(Reference {
                path: path
                    .segments
                    .iter()
                    .map(|segment| segment.ident.to_string())
                    .collect(),
                line: path.segments[0].ident.span().start().line,
            });
        }
        visit::visit_path(self, path);
    }

    /// One within a function.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let line = item.use_token.span.start().line;
        for (path, _) in leaves(&item.tree) {
            self.references.push(Reference { path, line });
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        in_tokens(call.tokens.clone(), &mut self.references);
        visit::visit_macro(self, call);
    }
}

/// Paths that begin with `crate`, `self` or `super`, among tokens that need not be Rust.
fn in_tokens(tokens: TokenStream, found: &mut Vec<Reference>) {
    let mut path: Vec<String> = Vec::new();
    let mut line = 0;
    let mut colons = 0;
    let mut end = |path: &mut Vec<String>, line| {
        if path.len() > 1 {
            found.push(Reference {
                path: std::mem::take(path),
                line,
            });
        }
        path.clear();
    };
    let mut groups = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                if path.is_empty() || colons != 2 {
                    end(&mut path, line);
                    if matches!(name.as_str(), "crate" | "self" | "super") {
                        line = ident.span().start().line;
                        path.push(name);
                    }
                } else {
                    path.push(name);
                }
                colons = 0;
            }
            other => {
                end(&mut path, line);
                colons = 0;
                if let TokenTree::Group(group) = other {
                    groups.push(group.stream());
                }
            }
        }
    }
    end(&mut path, line);
    for group in groups {
        in_tokens(group, found);
    }
}

/// Every name that a `use` brings, with its whole path; `None` for a glob.
pub(crate) fn leaves(tree: &UseTree) -> Vec<(Vec<String>, Option<String>)> {
    fn walk(
        tree: &UseTree,
        before: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, Option<String>)>,
    ) {
        let mut leaf = |ident: &Ident, name: &Ident| {
            let mut path = before.clone();
            // `use a::{self}` is `use a`.
            if ident != "self" || path.is_empty() {
                path.push(ident.to_string());
            }
            let name = if name == "self" {
                path.last().cloned().unwrap_or_default()
            } else {
                name.to_string()
            };
            found.push((path, Some(name)));
        };
        match tree {
            UseTree::Path(inner) => {
                before.push(inner.ident.to_string());
                walk(&inner.tree, before, found);
                before.pop();
            }
            UseTree::Name(name) => leaf(&name.ident, &name.ident),
            UseTree::Rename(rename) => leaf(&rename.ident, &rename.rename),
            UseTree::Glob(_) => found.push((before.clone(), None)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    walk(tree, before, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    walk(tree, &mut Vec::new(), &mut found);
    found
}

/// `#[cfg(test)]`, alone or as one of several conditions, and `#[test]`.
pub(crate) fn is_for_tests(attr: &Attribute) -> bool {
    fn requires_test(tokens: TokenStream) -> bool {
        let mut negated = false;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if ident == "test" => return true,
                TokenTree::Ident(ident) => negated = ident == "not" || ident == "any",
                TokenTree::Group(group) if !negated && requires_test(group.stream()) => {
                    return true;
                }
                _ => {}
            }
        }
        false
    }
    attr.path().is_ident("test")
        || attr.path().is_ident("cfg")
            && attr
                .meta
                .require_list()
                .is_ok_and(|list| requires_test(list.tokens.clone()))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn declared_name(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tokens: &str) -> Vec<String> {
        let mut found = Vec::new();
        in_tokens(tokens.parse().unwrap(), &mut found);
        found.iter().map(|found| found.path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_among_the_tokens_of_a_macro() {
        assert_eq!(
            paths("a, crate::b::C::new(super::d()), self.e, x: crate::f, crate::g"),
            ["crate::b::C::new", "crate::f", "crate::g", "super::d"]
        );
    }

    #[test]
    fn a_use_gives_each_name_with_its_whole_path() {
        let item: syn::ItemUse =
            syn::parse_str("use crate::a::{self, B as C, d::{E, *}};").unwrap();
        let names: Vec<_> = leaves(&item.tree)
            .into_iter()
            .map(|(path, name)| (path.join("::"), name.unwrap_or_else(|| "*".to_owned())))
            .collect();
        let wanted = [
            ("crate::a", "a"),
            ("crate::a::B", "C"),
            ("crate::a::d::E", "E"),
            ("crate::a::d", "*"),
        ];
        let names: Vec<_> = names
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(names, wanted);
    }

    #[test]
    fn conditions_that_only_tests_meet() {
        let is_for_tests = |text: &str| {
            let item: syn::ItemStruct = syn::parse_str(&format!("{text} struct A;")).unwrap();
            item.attrs.iter().any(is_for_tests)
        };
        assert!(is_for_tests("#[cfg(test)]"));
        assert!(is_for_tests("#[cfg(all(test, unix))]"));
        assert!(!is_for_tests("#[cfg(not(test))]"));
        assert!(!is_for_tests("#[cfg(any(test, feature = \"x\"))]"));
        assert!(!is_for_tests("#[cfg(feature = \"test\")]"));
    }

    #[test]
    fn roots_are_where_cargo_looks_for_them() {
        let scratch = crate::lint::sources::Scratch::new("roots");
        let files = [
            ("src/lib.rs", ""),
            ("src/inner.rs", ""),
            ("src/inner/tests/faults.rs", ""),
            ("origin/api/src/lib.rs", ""),
            ("xtask/src/main.rs", ""),
            ("tests/src/lib.rs", ""),
            ("tests/tests/ticks.rs", ""),
            ("crl/tests/common/mod.rs", ""),
            ("tests/benches/serve/main.rs", ""),
            ("tests/benches/serve/load.rs", ""),
            ("fuzz/fuzz_targets/reader.rs", ""),
        ];
        let sources = Sources::in_folder(scratch.path(), &files);
        assert_eq!(
            roots(&sources),
            [
                "src/lib.rs",
                "origin/api/src/lib.rs",
                "xtask/src/main.rs",
                "tests/src/lib.rs",
                "tests/tests/ticks.rs",
                "tests/benches/serve/main.rs",
                "fuzz/fuzz_targets/reader.rs",
            ]
        );
    }
}
