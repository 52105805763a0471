//! Broken files as they are in real life: each says what is wrong and where, in nobody's
//! words but a person's.

use crate::files::{OWN, indented, with};
use crate::support::Desk;

/// What a parser says to its author.
const INTERNAL: [&str; 10] = [
    "expected value",
    "did not find",
    "while parsing",
    "while scanning",
    "trailing characters",
    "key must be a string",
    "mapping values",
    "block mapping",
    "kty is missing",
    "valid UTF-8",
];

/// A few lines that would be a billion.
fn bomb() -> String {
    let list = |name: &str, of: &str| format!("{name}: &{name} [{}]\n", [of; 9].join(", "));
    let names = ["b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let lists = names.windows(2).map(|pair| list(pair[1], &format!("*{}", pair[0])));
    list("b", "x") + &lists.collect::<String>()
}

/// What is in a file, and what is told of it.
#[test]
fn files_that_cannot_be_read() {
    let desk = Desk::new();
    let issuer = "https://auth.shop.example";
    for (case, name, file, told) in [
        (
            "a tab",
            "a.yaml",
            with(OWN, "    issuer: https://auth", "\tissuer: https://auth"),
            "a.yaml:6: not acceptable YAML: a tab, where YAML has spaces",
        ),
        (
            "a tab behind spaces",
            "a.yaml",
            with(OWN, "    issuer: https://auth", "  \tissuer: https://auth"),
            "a.yaml:6: not acceptable YAML: a tab, where YAML has spaces",
        ),
        (
            "a tab in a list",
            "a.yaml",
            with(OWN, "- match: {path_prefix: /login}\n  bypass", "- match: {path_prefix: /login}\n\tbypass"),
            "a.yaml:22: not acceptable YAML: a tab, where YAML has spaces",
        ),
        (
            "a list left open",
            "a.yaml",
            with(OWN, "[shop-api]", "[shop-api"),
            "a.yaml:7: not acceptable YAML: a [ that is not closed",
        ),
        (
            "an object left open",
            "a.yaml",
            with(OWN, "/jwks.json}", "/jwks.json"),
            "a.yaml:8: not acceptable YAML: a { that is not closed",
        ),
        (
            "a quote left open",
            "a.yaml",
            with(OWN, issuer, "\"https://auth"),
            "a.yaml:6: not acceptable YAML: a quote that is not closed",
        ),
        (
            "a second colon",
            "a.yaml",
            with(OWN, issuer, "shop: https://auth"),
            "a.yaml:6: not acceptable YAML: a second `: ` in a line",
        ),
        (
            "a star",
            "a.yaml",
            with(OWN, "[shop-api]", "*"),
            "a.yaml:7: not acceptable YAML: a * that is not quoted",
        ),
        (
            "a star in a list",
            "a.yaml",
            with(OWN, "[shop-api]", "[*]"),
            "a.yaml:7: not acceptable YAML: a * that is not quoted",
        ),
        (
            "an anchor of another file",
            "a.yaml",
            with(OWN, "audiences: [shop-api]", "<<: *defaults"),
            "an anchor (*name) that is not in this document",
        ),
        (
            "a percent sign",
            "a.yaml",
            with(OWN, issuer, "%ISSUER%"),
            "a.yaml:6: not acceptable YAML: a value that begins with @, ` or %",
        ),
        (
            "an at sign",
            "a.yaml",
            with(OWN, "{env: SIGNING_KEY}", "@key.pem"),
            "a value that begins with @, ` or %",
        ),
        (
            "an indentation",
            "a.yaml",
            with(OWN, "    audiences", "   audiences"),
            "a.yaml:7: not acceptable YAML: an indentation that fits nothing above",
        ),
        (
            "a member twice",
            "a.yaml",
            format!("{OWN}rules: []\n"),
            "a.yaml:23: not acceptable YAML: \"rules\" twice in one place",
        ),
        (
            "a template of Helm",
            "a.yaml",
            with(OWN, issuer, "{{ .Values.issuer }}"),
            "a.yaml:6: not acceptable YAML: a template ({{ ... }})",
        ),
        (
            "a merge of git",
            "a.yaml",
            with(OWN, "user_info:", "<<<<<<< HEAD\nuser_info:"),
            "a.yaml:10: not acceptable YAML: the marks of a merge",
        ),
        (
            "an example with its fence",
            "a.yaml",
            format!("```yaml\n{OWN}```\n"),
            "a.yaml:1: not acceptable YAML: a fence of Markdown",
        ),
        (
            "no space after a colon",
            "a.yaml",
            with(OWN, "path: /users", "path:/users"),
            "a.yaml:12: not acceptable YAML: a line without `: `",
        ),
        (
            "an equals sign",
            "a.yaml",
            with(OWN, "bypass: true", "bypass = true"),
            "a.yaml:22: not acceptable YAML: a line without `: `",
        ),
        (
            "half of a file",
            "a.yaml",
            OWN.split("services]").next().unwrap().to_owned(),
            "a.yaml:18: not acceptable YAML: a [ or {",
        ),
        ("HTML", "a.yaml", "<!DOCTYPE html><html>: [".to_owned(), "it is HTML or XML"),
        (
            "a ConfigMap's file",
            "a.yaml",
            format!(
                "kind: ConfigMap\ndata:\n  own.yaml: |\n{}",
                indented(&with(OWN, "[shop-api]", "[shop-api"), 4)
            ),
            "a.yaml:10: not acceptable YAML: in data.own.yaml: a [ that is not closed",
        ),
        (
            "a file of the second ConfigMap in a list",
            "a.yaml",
            "kind: List\nitems:\n- kind: ConfigMap\n  data: {a: b}\n- kind: ConfigMap\n  data:\n    \
                 own.json: |\n      {\n        \"providers\": {},\n        \
                 \"identity_token\": {},,\n      }\n"
                .to_owned(),
            "a.yaml:10: not acceptable YAML: in data.own.json: ",
        ),
        (
            "a ConfigMap's file that is folded, whose lines are others",
            "a.yaml",
            "kind: ConfigMap\ndata:\n  own.yaml: \"identity_token: {a: 1\\nb: 2}\\nc: [\"\n"
                .to_owned(),
            "a.yaml:3: not acceptable YAML: in data.own.yaml: ",
        ),
        (
            "a merge key in Envoy's file",
            "a.yaml",
            "admin: {}\nbase: &base {type: STATIC}\ncluster:\n  <<: *base\n".to_owned(),
            "a.yaml:4: not acceptable YAML: a merge key (<<), which Envoy does not read: write",
        ),
        (
            "a tag",
            "a.yaml",
            with(OWN, "[shop-api]", "!list [shop-api]"),
            "a.yaml:7: not acceptable YAML: the tag !list, which is not read",
        ),
        (
            "a tag for text",
            "a.yaml",
            with(OWN, "[shop-api]", "[!!str 7]"),
            "a.yaml:7: not acceptable YAML: the tag !!str, which hosts do not read alike: write",
        ),
        (
            "a tag for a boolean",
            "a.yaml",
            with(OWN, "bypass: true", "bypass: !!bool yes"),
            "a.yaml:22: not acceptable YAML: the tag !!bool, which hosts do not read alike",
        ),
        (
            "aliases of aliases",
            "a.yaml",
            format!("{OWN}{}", bomb()),
            "not acceptable YAML: aliases (*name) of what has aliases itself",
        ),
        (
            "a backslash",
            "a.yaml",
            with(OWN, issuer, "\"https:\\gate\""),
            "a.yaml:6: not acceptable YAML: a \\ in \"double quotes\" that begins nothing",
        ),
        (
            "a name twice, deep inside",
            "a.yaml",
            with(OWN, "path: /jwks.json}", "path: /jwks.json, path: /other.json}"),
            "a.yaml:8: not acceptable YAML: \"path\" twice in one place",
        ),
        (
            "a comma too many",
            "a.json",
            "{\"providers\": {},}".to_owned(),
            "a.json:1: not acceptable JSON: a comma before a closing bracket",
        ),
        (
            "single quotes",
            "a.json",
            "{'providers': {}}".to_owned(),
            "a.json:1: not acceptable JSON: a member name without double quotes",
        ),
        (
            "a comment",
            "a.json",
            "{\n  // the issuers\n  \"providers\": {}}".to_owned(),
            "a.json:2: not acceptable JSON: a comment, which JSON does not have",
        ),
        (
            "YAML by another name",
            "a.json",
            OWN.to_owned(),
            "a.json: not acceptable JSON: it is YAML",
        ),
        (
            "half of a file",
            "a.json",
            "{\"providers\": {".to_owned(),
            "it ends before it is complete",
        ),
        (
            "a token",
            "a.json",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln".to_owned(),
            "it is a JWT",
        ),
        ("nothing", "a.json", String::new(), "it is empty"),
        ("only a comment", "a.yaml", "# to do\n".to_owned(), "a.yaml: no configuration found"),
        (
            "another manifest",
            "a.yaml",
            "kind: Deployment\nmetadata: {name: gatepass}\n".to_owned(),
            "a.yaml: no configuration found",
        ),
    ] {
        desk.put(name, &file);
        let run = desk.run(&["check", name]).ended(2);
        assert!(run.err.contains(told), "{case}: {run:?}");
        assert!(!INTERNAL.iter().any(|words| run.err.contains(words)), "{case}: {run:?}");
        assert_eq!(run.out, "", "{case}");
    }
    for (case, bytes, told) in [
        ("UTF-16", OWN.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>(), ""),
        ("UTF-16, marked", [&b"\xff\xfe"[..], b"a\0"].concat(), "a.yaml: it is UTF-16"),
        ("gzip", b"\x1f\x8b\x08\x00\xff".to_vec(), "a.yaml: it is compressed (gzip)"),
        ("Latin-1", [OWN.as_bytes(), b"# caf\xe9\n"].concat(), "a.yaml:23: it is not UTF-8"),
    ] {
        desk.put_bytes("a.yaml", &bytes);
        let run = desk.run(&["check", "a.yaml"]).ended(2);
        assert!(run.err.contains(told), "{case}: {run:?}");
        assert!(!INTERNAL.iter().any(|words| run.err.contains(words)), "{case}: {run:?}");
    }
}

/// What looks odd, and hosts read.
#[test]
fn files_that_only_look_broken() {
    let desk = Desk::new();
    for (case, file) in [
        ("a byte order mark", format!("\u{feff}{OWN}")),
        ("line ends of Windows", OWN.replace('\n', "\r\n")),
        ("a document mark", format!("---\n{OWN}...\n")),
        ("below a name of its own", format!("gatepass:\n{}", indented(OWN, 2))),
        ("in a Helm value", format!("values:\n  proxy:\n    config:\n{}", indented(OWN, 6))),
        (
            "an anchor",
            with(
                &with(OWN, "auth: {upstream", "auth: &auth {upstream"),
                "users: {upstream: users, authority: users.internal}",
                "users: *auth",
            ),
        ),
    ] {
        desk.put("a.yaml", &file);
        let run = desk.run(&["check", "a.yaml"]).ended(0);
        assert!(run.out.contains("valid, for envoy"), "{case}: {run:?}");
    }
}
