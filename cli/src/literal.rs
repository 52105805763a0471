//! Warnings about texts that are taken as they are written, and read as something else:
//! patterns, placeholders, and claim paths that can mean two things.

use serde_json::Value;

use crate::document::step;
use crate::located::Warning;

/// The fields that name claims of tokens.
const CLAIMS: [&str; 5] = ["claim", "client_id_claims", "groups_claims", "subject_claims", "copy"];

/// The warnings about a configuration.
pub fn warnings(document: &Value, root: &str) -> Vec<Warning> {
    let mut walk = Walk { names: Vec::new(), warnings: Vec::new() };
    walk.visit(document, root);
    walk.warnings
}

struct Walk<'a> {
    /// The names of the members around a value; not the positions in lists.
    names: Vec<&'a str>,
    warnings: Vec<Warning>,
}

impl<'a> Walk<'a> {
    fn warn(&mut self, path: &str, text: String) {
        self.warnings.push(Warning { path: path.to_owned(), text });
    }

    fn visit(&mut self, value: &'a Value, path: &str) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let place = step(path, name);
                    if self.are_claims() {
                        self.claim(name, &place, true);
                    }
                    self.names.push(name);
                    self.visit(member, &place);
                    self.names.pop();
                }
            }
            Value::Array(items) => {
                let is_claim = self.names.last().is_some_and(|name| CLAIMS.contains(name));
                // The names of members, outermost first: that is exact.
                let is_path = |item: &Value| is_claim && item.is_array();
                if is_claim && self.names.contains(&"claim_to_headers") {
                    return;
                }
                for (position, item) in items.iter().enumerate().filter(|(_, it)| !is_path(it)) {
                    self.visit(item, &format!("{path}[{position}]"));
                }
            }
            Value::String(text) => self.text(text, path),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The names around a value end with these.
    fn ends(&self, names: &[&str]) -> bool {
        self.names.ends_with(names)
    }

    /// Whether the names of an object's members are claims of tokens, with their values.
    fn are_claims(&self) -> bool {
        let is_policy = matches!(self.names.as_slice(), ["policies", _, "claims"]);
        is_policy || self.ends(&["requires", "claims"]) || self.ends(&["required_claims"])
    }

    /// Whether a text is a value of such a claim.
    fn is_claim_value(&self) -> bool {
        let around = self.names.split_last().map(|(_, around)| around).unwrap_or_default();
        let is_policy = matches!(around, ["policies", _, "claims"]);
        is_policy
            || around.ends_with(&["requires", "claims"])
            || around.ends_with(&["required_claims"])
    }

    fn text(&mut self, text: &str, path: &str) {
        if self.placeholder(text, path) {
            return;
        }
        let name = self.names.last().copied().unwrap_or_default();
        match name {
            "audiences" if text.contains(['*', '{']) => {
                let text = format!(
                    "{text:?} is taken literally, and no token has it: name the audiences, or set \
                     allow_any_audience: true"
                );
                self.warn(path, text);
            }
            "issuer" => self.issuer(text, path),
            "authorization" | "client_secret" | "nonce_keys" | "secret"
                if text.ends_with(['\n', '\r']) =>
            {
                let text = "a line break at its end, which is a part of the secret: in YAML, |- \
                            leaves it out";
                self.warn(path, text.to_owned());
            }
            "groups_any" | "groups_none" | "consumers" | "client_id" | "sub" | "scopes_all"
            | "scopes_any"
                if text.contains('*') =>
            {
                self.literal(text, path, "leave the condition out where any will do");
            }
            "value" if self.ends(&["match", "headers", "value"]) && text.contains('*') => {
                self.literal(text, path, "present: true is for any value");
            }
            "path" | "path_prefix" | "path_starts_with" | "path_template"
                if self.names.contains(&"match") =>
            {
                self.pattern(text, path, name == "path_template");
            }
            "path" if self.names.contains(&"providers") && text.contains('{') => {
                self.literal(text, path, "one path for all tenants has their keys");
            }
            "authority" | "upstream" if text.contains(['{', '*']) => {
                self.literal(text, path, "a service has one name");
            }
            _ if self.is_claim_value() && (text.contains('*') || is_regex(text)) => {
                self.literal(text, path, "list the values; [] asks only that the claim is there");
            }
            name if CLAIMS.contains(&name) => self.claim(text, path, false),
            _ => {}
        }
    }

    fn literal(&mut self, text: &str, path: &str, instead: &str) {
        let shown = shown(text);
        self.warn(path, format!("{shown} is taken literally, not as a pattern: {instead}"));
    }

    /// What a template or a shell was to fill in.
    fn placeholder(&mut self, text: &str, path: &str) -> bool {
        let is_angled = text.starts_with('<') && text.ends_with('>') && text.len() > 2;
        let is_placeholder = is_angled
            || ["${", "{{", "$(", "<%"].iter().any(|start| text.contains(start))
            || text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
                ["CHANGEME", "CHANGE_ME", "TODO", "FIXME", "REPLACEME"]
                    .iter()
                    .any(|other| word.eq_ignore_ascii_case(other))
            });
        if text.starts_with(['\u{201c}', '\u{201d}', '\u{2018}', '\u{201e}']) {
            let text = "the quotes are part of the value: YAML knows \" and ' only";
            self.warn(path, text.to_owned());
        }
        if is_placeholder {
            let text = "a placeholder that was not replaced";
            self.warn(path, text.to_owned());
        }
        is_placeholder
    }

    fn issuer(&mut self, text: &str, path: &str) {
        if text.contains('#') {
            let text = "the # is part of the issuer, and no token has that: a comment has a space \
                        before its #";
            self.warn(path, text.to_owned());
        } else if text.contains("{tenantid}") {
            let text = "tokens of Entra name the tenant in the claim tid: write {tid}, and its \
                        accepted values in required_claims.tid";
            self.warn(path, text.to_owned());
        } else if text.contains('*') {
            self.literal(text, path, "{claim} stands for the claim that names a tenant");
        }
    }

    fn pattern(&mut self, text: &str, path: &str, is_template: bool) {
        let mut segments = text.split('/');
        let is_variable = |it: &str| it.starts_with([':', '<', '[', '(']) && it.len() > 1;
        if segments.any(is_variable) || is_regex(text) || text.starts_with('~') {
            let instead = if is_template {
                "a variable segment is {name}, any number of them **"
            } else {
                "path_template is for patterns, such as /users/{id} and /files/**"
            };
            self.literal(text, path, instead);
        }
    }

    /// A claim by a text with dots. A name that is a URL is one.
    fn claim(&mut self, text: &str, path: &str, is_member: bool) {
        if !text.contains('.') || text.starts_with('/') || text.contains("://") {
            return;
        }
        let nested = text.replace('.', "/");
        let pointer = text.replace('~', "~0").replace('/', "~1");
        let also = match text.split('.').collect::<Vec<_>>().as_slice() {
            // What is meant more often than either.
            [first, second, rest] if is_domain(second) => {
                format!(", and never /{first}.{second}/{rest}")
            }
            _ => String::new(),
        };
        let ways = if is_member { "" } else { ", or a list of names," };
        let text = format!(
            "the claim {text:?} can mean two things: the member of this name (/{pointer}) where a \
             token has it, else /{nested}{also}. A JSON pointer{ways} says which"
        );
        self.warn(path, text);
    }
}

fn is_domain(word: &str) -> bool {
    ["io", "com", "org", "net", "dev", "example", "internal", "local"].contains(&word)
}

fn is_regex(text: &str) -> bool {
    text.starts_with('^')
        || text.ends_with('$') && text.len() > 1
        || text.contains(".*")
        || text.contains("\\d")
}

/// A text, cut where it may be a key.
fn shown(text: &str) -> String {
    if text.chars().count() <= 40 { format!("{text:?}") } else { "it".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_taken_literally() {
        for (case, document, expected) in [
            (
                "any audience",
                json!({"providers": {"a": {"audiences": ["*"]}}}),
                Some("$.providers.a.audiences[0]"),
            ),
            ("an audience", json!({"providers": {"a": {"audiences": ["shop"]}}}), None),
            (
                "a variable of other routers",
                json!({"rules": [{"match": {"path": "/users/:id"}}]}),
                Some("$.rules[0].match.path"),
            ),
            ("a template", json!({"rules": [{"match": {"path_template": "/users/{id}"}}]}), None),
            ("a path with a time", json!({"rules": [{"match": {"path": "/at/10:30"}}]}), None),
            (
                "a regular expression",
                json!({"rules": [{"match": {"path_prefix": "/api/.*"}}]}),
                Some("$.rules[0].match.path_prefix"),
            ),
            (
                "Entra's metadata",
                json!({"providers": {"a": {"issuer": "https://login/{tenantid}/v2.0"}}}),
                Some("$.providers.a.issuer"),
            ),
            (
                "a group",
                json!({"rules": [{"requires": {"groups_any": ["team-*"]}}]}),
                Some("$.rules[0].requires.groups_any[0]"),
            ),
            (
                "a value",
                json!({"rules": [{"requires": {"claims": {"mail": ["*@shop.example"]}}}]}),
                Some("$.rules[0].requires.claims.mail[0]"),
            ),
            (
                "an unset variable",
                json!({"identity_token": {"issuer": "${ISSUER}"}}),
                Some("$.identity_token.issuer"),
            ),
            ("the name of a claim", json!({"consumers": {"claim": ["azp"]}}), None),
        ] {
            let found = warnings(&document, "$");
            let paths: Vec<_> = found.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, Vec::from_iter(expected), "{case}: {found:?}");
        }
    }

    #[test]
    fn claims_that_can_mean_two_things() {
        for (case, document, is_ambiguous) in [
            (
                "in a rule",
                json!({"rules": [{"requires": {"claims": {"kubernetes.io.pod": "absent"}}}]}),
                true,
            ),
            ("of a provider", json!({"providers": {"a": {"required_claims": {"a.b": []}}}}), true),
            ("of a policy", json!({"policies": {"p": {"claims": {"a.b": []}}}}), true),
            ("of a header", json!({"claim_to_headers": [{"claim": "address.country"}]}), true),
            ("as a list", json!({"claim_to_headers": [{"claim": ["address", "country"]}]}), false),
            (
                "as a list in a list",
                json!({"consumers": {"claim": [["kubernetes.io", "pod"]]}}),
                false,
            ),
            ("as a pointer", json!({"rules": [{"requires": {"claims": {"/a/b": []}}}]}), false),
            ("groups", json!({"consumers": {"groups_claims": ["realm_access.roles"]}}), true),
            ("a URL", json!({"consumers": {"claim": ["https://shop.example/tenant"]}}), false),
            (
                "a claim of user info, which is new",
                json!({"user_info": {"claims": {"a.b": "/a"}}}),
                false,
            ),
            ("a plain name", json!({"identity_token": {"claims": {"copy": ["azp"]}}}), false),
            ("a copy", json!({"identity_token": {"claims": {"copy": ["a.b"]}}}), true),
        ] {
            let found = warnings(&document, "$");
            assert_eq!(found.len(), usize::from(is_ambiguous), "{case}: {found:?}");
        }
        let rule = json!({"rules": [{"requires": {"claims": {"kubernetes.io.pod": "absent"}}}]});
        let text = &warnings(&rule, "$")[0].text;
        assert!(text.contains("never /kubernetes.io/pod"), "{text}");
    }
}
