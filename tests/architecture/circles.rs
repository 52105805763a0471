//! Modules and files that import each other in a circle.
//!
//! An edge is a path that the code names: `use` declarations and paths in
//! expressions and types, of all but tests. Names are followed to the file that
//! has them, through re-exports of a parent module, so that a child may be
//! re-exported by the parent whose items it uses without making a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

use crate::{CORE, PACKAGES, sources};

/// A module path below the crate: `["rules", "path"]`.
type Module = Vec<String>;

/// Who names whom.
type Graph = BTreeMap<String, BTreeSet<String>>;

struct House {
    /// Each module that is a file, with what it defines or re-exports.
    modules: BTreeMap<Module, Contents>,
}

struct Contents {
    file: syn::File,
    /// Names that stand for something elsewhere: `pub use self::child::Name`.
    exports: BTreeMap<String, Module>,
}

fn module_of(path: &Path) -> Option<Module> {
    let mut parts: Module =
        path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if parts.last()? == "mod" || parts == ["lib"] {
        parts.pop();
    }
    Some(parts)
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

impl House {
    fn read(directory: &str) -> Self {
        let mut modules = BTreeMap::new();
        for (path, text) in sources(directory) {
            let Some(module) = module_of(&path) else { continue };
            if module.last().is_some_and(|name| name == "tests") {
                continue;
            }
            let file = syn::parse_file(&text).expect("the crate compiles");
            let mut exports = BTreeMap::new();
            for item in &file.items {
                if let Item::Use(item) = item
                    && !matches!(item.vis, syn::Visibility::Inherited)
                {
                    for (path, name) in use_paths(item) {
                        exports.insert(name, absolute(&path, &module));
                    }
                }
            }
            modules.insert(module, Contents { file, exports });
        }
        Self { modules }
    }

    /// The module that has what a path names, and its file.
    fn owner(&self, path: &[String]) -> Module {
        let mut module = Module::new();
        for (position, name) in path.iter().enumerate() {
            let mut child = module.clone();
            child.push(name.clone());
            if self.modules.contains_key(&child) {
                module = child;
                continue;
            }
            if let Some(origin) = self.modules[&module].exports.get(name) {
                let rest = &path[position + 1..];
                let followed = [origin.as_slice(), rest].concat();
                if followed != path {
                    return self.owner(&followed);
                }
            }
            break;
        }
        module
    }

    fn paths(&self, module: &Module) -> Vec<Module> {
        let mut named = Named { module, paths: Vec::new() };
        named.visit_file(&self.modules[module].file);
        named.paths
    }

    /// The edges between files, or between the crate's top-level modules.
    fn graph(&self, label: impl Fn(&Module) -> String) -> Graph {
        let mut graph = Graph::new();
        for module in self.modules.keys().filter(|module| !module.is_empty()) {
            let from = label(module);
            let edges = graph.entry(from.clone()).or_default();
            for path in self.paths(module) {
                let owner = self.owner(&path);
                if !owner.is_empty() && label(&owner) != from {
                    edges.insert(label(&owner));
                }
            }
        }
        graph
    }
}

/// What a file names, as paths from the crate's root.
struct Named<'a> {
    module: &'a Module,
    paths: Vec<Module>,
}

impl<'ast> Visit<'ast> for Named<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // A re-export names nothing that this file's own code needs.
        if is_test(&item.attrs) || !matches!(item.vis, syn::Visibility::Inherited) {
            return;
        }
        for (path, _) in use_paths(item) {
            self.note(&path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Module = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.note(&parts);
        visit::visit_path(self, path);
    }
}

impl Named<'_> {
    fn note(&mut self, path: &[String]) {
        if matches!(path.first().map(String::as_str), Some("crate" | "super" | "self"))
            && path.len() > 1
        {
            self.paths.push(absolute(path, self.module));
        }
    }
}

/// A path from the crate's root for one that a module names.
fn absolute(path: &[String], module: &Module) -> Module {
    let mut base = module.clone();
    let mut rest = path;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = others;
    }
    base.extend_from_slice(rest);
    base
}

/// Every path of a `use` declaration, and the name that it has here.
fn use_paths(item: &ItemUse) -> Vec<(Module, String)> {
    fn collect(tree: &UseTree, before: &Module, paths: &mut Vec<(Module, String)>) {
        match tree {
            UseTree::Path(path) => {
                let mut before = before.clone();
                before.push(path.ident.to_string());
                collect(&path.tree, &before, paths);
            }
            UseTree::Name(name) if name.ident == "self" => {
                paths.push((before.clone(), before.last().cloned().unwrap_or_default()));
            }
            UseTree::Name(name) => {
                let path = [before.as_slice(), &[name.ident.to_string()]].concat();
                paths.push((path, name.ident.to_string()));
            }
            UseTree::Rename(rename) => {
                let path = [before.as_slice(), &[rename.ident.to_string()]].concat();
                paths.push((path, rename.rename.to_string()));
            }
            UseTree::Glob(_) => paths.push((before.clone(), "*".to_owned())),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| collect(tree, before, paths));
            }
        }
    }
    let mut paths = Vec::new();
    collect(&item.tree, &Module::new(), &mut paths);
    paths
}

/// The circles of a graph: its strongly connected components of more than one
/// node (Tarjan).
fn circles(graph: &Graph) -> BTreeSet<Vec<String>> {
    struct Search<'a> {
        graph: &'a Graph,
        index: BTreeMap<&'a str, usize>,
        low: BTreeMap<&'a str, usize>,
        stack: Vec<&'a str>,
        found: BTreeSet<Vec<String>>,
    }
    impl<'a> Search<'a> {
        fn visit(&mut self, node: &'a str) {
            let number = self.index.len();
            self.index.insert(node, number);
            self.low.insert(node, number);
            self.stack.push(node);
            for next in self.graph.get(node).into_iter().flatten() {
                if !self.index.contains_key(next.as_str()) {
                    self.visit(next);
                    self.low.insert(node, self.low[node].min(self.low[next.as_str()]));
                } else if self.stack.contains(&next.as_str()) {
                    self.low.insert(node, self.low[node].min(self.index[next.as_str()]));
                }
            }
            if self.low[node] == self.index[node] {
                let start = self.stack.iter().position(|other| *other == node).expect("pushed");
                let mut circle: Vec<String> =
                    self.stack.split_off(start).into_iter().map(str::to_owned).collect();
                circle.sort();
                if circle.len() > 1 {
                    self.found.insert(circle);
                }
            }
        }
    }
    let (index, low) = (BTreeMap::new(), BTreeMap::new());
    let mut search = Search { graph, index, low, stack: Vec::new(), found: BTreeSet::new() };
    for node in graph.keys() {
        if !search.index.contains_key(node.as_str()) {
            search.visit(node);
        }
    }
    search.found
}

#[track_caller]
fn assert_circles(graph: &Graph, known: &[&[&str]]) {
    let expected: BTreeSet<Vec<String>> =
        known.iter().map(|circle| circle.iter().map(|&name| name.to_owned()).collect()).collect();
    let found = circles(graph);
    let new: Vec<String> = found
        .difference(&expected)
        .map(|circle| {
            let inside: BTreeSet<&String> = circle.iter().collect();
            let edges = circle.iter().map(|from| {
                let to: Vec<_> = graph[from].iter().filter(|to| inside.contains(to)).collect();
                format!("    {from} -> {to:?}")
            });
            format!("  {circle:?}\n{}", edges.collect::<Vec<_>>().join("\n"))
        })
        .collect();
    assert!(new.is_empty(), "new circles:\n{}", new.join("\n"));
    let gone: Vec<_> = expected.difference(&found).collect();
    assert!(gone.is_empty(), "circles that are gone, to be taken off the list: {gone:?}");
}

#[test]
fn modules_do_not_import_each_other() {
    let graph = House::read(CORE).graph(|module| module[0].clone());
    assert_circles(&graph, &[]);
}

#[test]
fn files_do_not_import_each_other() {
    let graph = House::read(CORE).graph(|module| module.join("/"));
    assert_circles(&graph, &[]);
}

#[test]
fn files_of_other_packages_do_not_import_each_other() {
    for package in PACKAGES {
        let graph = House::read(package).graph(|module| module.join("/"));
        assert_circles(&graph, &[]);
    }
}

/// A type's methods stand in its own module: a call of a method needs no import,
/// so a foreign `impl` hides an edge from the tests above.
#[test]
fn methods_stand_with_their_type() {
    let house = House::read(CORE);
    let mut foreign = BTreeSet::new();
    for (module, contents) in &house.modules {
        let imported: BTreeMap<String, Module> = contents
            .file
            .items
            .iter()
            .filter_map(
                |item| if let Item::Use(item) = item { Some(use_paths(item)) } else { None },
            )
            .flatten()
            .map(|(path, name)| (name, house.owner(&absolute(&path, module))))
            .collect();
        for item in &contents.file.items {
            let Item::Impl(item) = item else { continue };
            let syn::Type::Path(of) = &*item.self_ty else { continue };
            let (None, Some(name)) = (&item.trait_, of.path.get_ident()) else { continue };
            let Some(owner) = imported.get(&name.to_string()) else { continue };
            if owner.first() != module.first() {
                foreign.insert(format!("impl {name} in {}", module[0]));
            }
        }
    }
    assert_eq!(foreign, BTreeSet::<String>::new());
}

#[test]
fn circles_are_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
            graph.entry((*to).to_owned()).or_default();
        }
        graph
    };
    for (case, edges, expected) in [
        ("a line", &[("a", "b"), ("b", "c")][..], &[][..]),
        ("two ways to one", &[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")], &[]),
        ("a pair", &[("a", "b"), ("b", "a"), ("b", "c")], &[&["a", "b"][..]]),
        (
            "two circles",
            &[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d")],
            &[&["a", "b", "c"], &["d", "e"]],
        ),
    ] {
        let expected: BTreeSet<Vec<String>> = expected
            .iter()
            .map(|circle| circle.iter().map(|&name| name.to_owned()).collect())
            .collect();
        assert_eq!(circles(&graph(edges)), expected, "{case}");
    }
}
