//! The page of messages has each that the code prints, and no others.

use std::collections::BTreeSet;

use gatepass::host::HostFailure;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, ExprTuple, Item, ItemFn, ItemImpl, LitStr, Macro, Token, Type};

/// Where messages are written: the file, and the type that is displayed or the function.
const SOURCES: [(&str, &[&str]); 13] = [
    ("src/denial/reason.rs", &["Denial", "of_headers"]),
    ("src/http/ambiguity.rs", &["PathAmbiguity"]),
    ("src/token/rejection.rs", &["Rejection"]),
    ("src/token/error.rs", &["TokenError", "Malformed"]),
    ("src/binding/mod.rs", &["Mismatch"]),
    ("src/binding/dpop.rs", &["ProofError"]),
    ("src/refresh/error.rs", &["FetchError", "Redirection"]),
    ("src/refresh/discovery.rs", &["DiscoveryError"]),
    ("src/keys/set.rs", &["KeySetError", "SkippedKey"]),
    ("src/keys/error.rs", &["KeyError"]),
    ("src/callout.rs", &["CalloutFailure"]),
    ("src/unreached.rs", &["Unreached"]),
    ("src/keys/pasted.rs", &["Pasted"]),
];

const OTHERS: [(&str, &[&str]); 4] = [
    ("src/features.rs", &["LeftOut"]),
    ("src/introspection.rs", &["IntrospectionFailure"]),
    ("src/user_info/mod.rs", &["UserInfoFailure"]),
    ("src/json/error.rs", &["JsonError", "meaning", "other_format", "of"]),
];

/// The texts of what is displayed.
struct Texts<'n> {
    names: &'n [&'n str],
    is_within: bool,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Texts<'_> {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let is_display = item.trait_.as_ref().is_some_and(|(_, path, _)| {
            path.segments.last().is_some_and(|segment| segment.ident == "Display")
        });
        let is_named = matches!(&*item.self_ty, Type::Path(path) if path.path.segments.last()
            .is_some_and(|segment| self.names.iter().any(|name| segment.ident == name)));
        let before = self.is_within;
        self.is_within |= is_display && is_named;
        visit::visit_item_impl(self, item);
        self.is_within = before;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        let before = self.is_within;
        self.is_within |= self.names.iter().any(|name| item.sig.ident == name);
        visit::visit_impl_item_fn(self, item);
        self.is_within = before;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        let before = self.is_within;
        self.is_within |= self.names.iter().any(|name| item.sig.ident == name);
        visit::visit_item_fn(self, item);
        self.is_within = before;
    }

    /// Of a pair the first is what is looked for.
    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        tuple.elems.iter().skip(1).for_each(|expression| self.visit_expr(expression));
    }

    /// Arguments of functions that look for something.
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "write_str" || call.method == "map_or" {
            return visit::visit_expr_method_call(self, call);
        }
        self.visit_expr(&call.receiver);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        let arguments = parser.parse2(call.tokens.clone()).unwrap_or_default();
        // Macros of the crate live as long as this.
        for argument in &arguments {
            let mut inner = Texts { names: self.names, is_within: self.is_within, found: vec![] };
            inner.visit_expr(argument);
            self.found.extend(inner.found);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        if self.is_within {
            self.found.push(text.value());
        }
    }

    /// Comments of documentation.
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item(&mut self, item: &'ast Item) {
        // Not those of tests.
        if !matches!(item, Item::Mod(_)) {
            visit::visit_item(self, item);
        }
    }
}

/// `…` in the place of what was found; empty for what is no message by itself.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        plain.push('…');
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    let plain = plain.trim_matches([' ', ',', ':']);
    let is_message = plain.contains(' ') && plain.contains(char::is_alphabetic);
    if is_message { plain.to_owned() } else { String::new() }
}

fn messages() -> BTreeSet<String> {
    let root = env!("CARGO_WORKSPACE_DIR");
    let mut messages = BTreeSet::new();
    for (file, names) in SOURCES.iter().chain(&OTHERS) {
        let text = std::fs::read_to_string(format!("{root}/{file}")).expect(file);
        let file = syn::parse_file(&text).expect(file);
        let mut texts = Texts { names, is_within: false, found: Vec::new() };
        texts.visit_file(&file);
        assert!(!texts.found.is_empty(), "{names:?}");
        messages.extend(texts.found.iter().map(|text| plain(text)).filter(|it| !it.is_empty()));
    }
    messages
}

#[test]
fn the_page_has_each_message_and_no_other() {
    let page = include_str!("../../docs/messages.md");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let shown: Vec<_> = rows
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let messages = messages();
    assert!(messages.len() > 130, "{}", messages.len());
    let is_shown = |message: &&String| shown.contains(&message.as_str());
    let missing: Vec<_> = messages.iter().filter(|message| !is_shown(message)).collect();
    assert!(missing.is_empty(), "not in docs/messages.md: {missing:#?}");
    let is_printed = |cell: &&&str| messages.contains(**cell);
    let stale: Vec<_> = shown.iter().filter(|cell| !is_printed(cell)).collect();
    assert!(stale.is_empty(), "printed nowhere: {stale:#?}");
}

#[test]
fn the_page_of_the_log_has_each_cause_of_a_failing_host() {
    let page = include_str!("../../docs/reference.md");
    let row = page.lines().find(|line| line.starts_with("| `host_error` ")).expect("its row");
    for failure in HostFailure::ALL {
        assert!(row.contains(&format!("`{failure}`")), "{failure}");
        assert!(failure.details().starts_with("gatepass_"), "{failure}");
    }
}
