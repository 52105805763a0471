//! Warnings about what restricts less than it seems to.

use serde_json::Value;

use crate::document::{step, texts};
use crate::located::Warning;

/// The methods of RFC 9110 section 9 and RFC 5789, which nearly all rules are about.
const METHODS: [&str; 9] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// The warnings about a configuration.
pub fn warnings(document: &Value, root: &str) -> Vec<Warning> {
    let mut list = List { document, root, warnings: Vec::new() };
    list.rules();
    list.user_info();
    list.cookies();
    list.private_keys();
    list.warnings
}

struct List<'a> {
    document: &'a Value,
    root: &'a str,
    warnings: Vec<Warning>,
}

impl<'a> List<'a> {
    fn add(&mut self, below: &str, text: String) {
        self.warnings.push(Warning { path: format!("{}{below}", self.root), text });
    }

    fn items(&self, pointer: &str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
        let items = self.document.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().enumerate()
    }

    fn members(&self, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.document.get(name).and_then(Value::as_object).into_iter().flatten()
    }

    fn rules(&mut self) {
        for (position, rule) in self.items("/rules") {
            let path = format!(".rules[{position}]");
            if let Some(matching) = rule.get("match") {
                self.methods(&format!("{path}.match"), matching);
                if ["requires", "policy"].iter().any(|name| rule.get(*name).is_some()) {
                    self.prefix(&format!("{path}.match"), matching);
                }
                if rule.get("bypass") == Some(&Value::Bool(true)) && is_everything(matching) {
                    let text =
                        "no request that comes to this rule needs a token, whatever its path";
                    self.add(&path, text.to_owned());
                }
            }
            if let Some(requires) = rule.get("requires") {
                self.requirements(&format!("{path}.requires"), requires);
            }
        }
        for (name, policy) in self.members("policies") {
            self.requirements(&step(".policies", name), policy);
        }
        if let Some(requires) = self.document.pointer("/revocation/endpoint/requires") {
            self.requirements(".revocation.endpoint.requires", requires);
        }
    }

    fn methods(&mut self, path: &str, matching: &Value) {
        for method in texts(matching.get("methods")) {
            let is_alike = |own: &&&str| strsim::osa_distance(own, &method) == 1;
            if !METHODS.contains(&method.as_str())
                && let Some(alike) = METHODS.iter().find(is_alike)
            {
                let text = format!("no request has the method {method}; did you mean {alike}?");
                self.add(&format!("{path}.methods"), text);
            }
        }
    }

    fn prefix(&mut self, path: &str, matching: &Value) {
        let prefix = matching.get("path_prefix").and_then(Value::as_str);
        let above = prefix.and_then(|prefix| prefix.strip_suffix('/'));
        if let Some(above) = above.filter(|above| !above.is_empty()) {
            let text = format!("{above} itself is not below it: write {above}, which is for both");
            self.add(&format!("{path}.path_prefix"), text);
        }
    }

    fn requirements(&mut self, path: &str, requires: &Value) {
        let conditions = requires.as_object().into_iter().flatten();
        let is_empty = |value: &Value| match value {
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        let mut conditions = conditions.peekable();
        if conditions.peek().is_some() && conditions.all(|(_, value)| is_empty(value)) {
            let text = "empty lists require nothing: any token that is accepted passes";
            self.add(path, text.to_owned());
        }
        for name in ["groups_any", "groups_none"] {
            let mut groups = texts(requires.get(name));
            groups.retain(|group| !self.is_group(group));
            for group in groups {
                let text = format!("no consumer is in the group {group:?}");
                self.add(&format!("{path}.{name}"), text);
            }
        }
    }

    /// Whether somebody may be in a group: only the entries' own are known.
    fn is_group(&self, group: &str) -> bool {
        let consumers = self.document.get("consumers");
        let is_set = |name: &str| consumers.is_some_and(|it| it.get(name).is_some());
        is_set("groups_claims")
            || is_set("kong")
            || self
                .items("/consumers/entries")
                .any(|(_, entry)| groups(entry).any(|own| own == group))
    }

    fn user_info(&mut self) {
        let Some(user_info) = self.document.get("user_info") else { return };
        // With the token, the service knows whom it is about.
        let is_token_sent = user_info.get("forward_token") == Some(&Value::Bool(true));
        let path = user_info.get("path").and_then(Value::as_str);
        if path.is_some_and(|path| !path.contains('{')) && !is_token_sent {
            let text = "every user is asked about by one path: write {sub} where the user belongs, \
                        as in /users/{sub}";
            self.add(".user_info.path", text.to_owned());
        }
    }

    /// Cookies that a login sets, and that no request is authenticated by.
    fn cookies(&mut self) {
        let read = texts(self.document.pointer("/token/from_cookies"));
        for (position, login) in self.items("/sealed_tokens/logins") {
            for cookie in texts(login.get("cookies")).iter().filter(|own| !read.contains(own)) {
                let text = format!(
                    "no request is known by the cookie {cookie}: name it in \
                                    token.from_cookies"
                );
                self.add(&format!(".sealed_tokens.logins[{position}].cookies"), text);
            }
        }
    }

    fn private_keys(&mut self) {
        for (name, provider) in self.members("providers") {
            let keys = provider.pointer("/local_jwks/keys").and_then(Value::as_array);
            if keys.into_iter().flatten().any(|key| key.get("d").is_some()) {
                let text = "the issuer's private key, with which whoever reads this makes tokens: \
                            leave out d, p, q, dp, dq and qi";
                self.add(&format!("{}.local_jwks", step(".providers", name)), text.to_owned());
            }
        }
    }
}

/// The groups of a consumer, in both forms.
fn groups(entry: &Value) -> impl Iterator<Item = String> {
    let acls = entry.get("acls").and_then(Value::as_array).into_iter().flatten();
    let acls = acls.filter_map(|acl| acl.get("group")?.as_str().map(str::to_owned));
    texts(entry.get("groups")).into_iter().chain(acls)
}

/// Whether conditions are met by every request.
fn is_everything(matching: &Value) -> bool {
    let mut conditions = matching.as_object().into_iter().flatten();
    conditions.all(|(name, value)| match name.as_str() {
        "path_prefix" | "path_starts_with" => value == "/",
        "path_template" => value == "/**",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_restricts_less_than_it_seems_to() {
        for (case, document, expected) in [
            (
                "empty lists alone",
                json!({"rules": [{"match": {}, "requires": {"scopes_all": [], "claims": {}}}]}),
                Some("$.rules[0].requires"),
            ),
            (
                "a policy of empty lists",
                json!({"policies": {"staff": {"consumers": []}}}),
                Some("$.policies.staff"),
            ),
            ("nothing, as is said", json!({"rules": [{"match": {}, "requires": {}}]}), None),
            (
                "an empty list beside another",
                json!({"rules": [{"match": {}, "requires": {"scopes_all": ["a"], "scopes_any": []}}]}),
                None,
            ),
            (
                "a group that nobody is in",
                json!({"consumers": {"entries": [{"groups": ["staff"]}]},
                    "rules": [{"requires": {"groups_none": ["partners"]}}]}),
                Some("$.rules[0].requires.groups_none"),
            ),
            (
                "a group as in Kong",
                json!({"consumers": {"entries": [{"acls": [{"group": "staff"}]}]},
                    "rules": [{"requires": {"groups_any": ["staff"]}}]}),
                None,
            ),
            (
                "a group that nobody is in as in Kong",
                json!({"consumers": {"entries": [{"acls": [{"group": "staff"}]}]},
                    "rules": [{"requires": {"groups_any": ["partners"]}}]}),
                Some("$.rules[0].requires.groups_any"),
            ),
            (
                "a group that nobody is in, of those who revoke",
                json!({"revocation": {"endpoint": {"requires": {"groups_none": ["partners"]}}}}),
                Some("$.revocation.endpoint.requires.groups_none"),
            ),
            (
                "a group of an entry",
                json!({"consumers": {"entries": [{"groups": ["staff"]}]},
                    "rules": [{"requires": {"groups_any": ["staff"]}}]}),
                None,
            ),
            (
                "a group that a token may name",
                json!({"consumers": {"groups_claims": ["groups"]},
                    "rules": [{"requires": {"groups_any": ["staff"]}}]}),
                None,
            ),
            (
                "a method that is misspelt",
                json!({"rules": [{"match": {"methods": ["DELTE"]}}]}),
                Some("$.rules[0].match.methods"),
            ),
            ("another method", json!({"rules": [{"match": {"methods": ["PROPFIND"]}}]}), None),
            (
                "a prefix that leaves its own path open",
                json!({"rules": [{"match": {"path_prefix": "/admin/"}, "policy": "staff"}]}),
                Some("$.rules[0].match.path_prefix"),
            ),
            (
                "every path",
                json!({"rules": [{"match": {"path_prefix": "/"}, "policy": "staff"}]}),
                None,
            ),
            (
                "an open gateway",
                json!({"rules": [{"match": {"path_template": "/**"}, "bypass": true}]}),
                Some("$.rules[0]"),
            ),
            (
                "an open path",
                json!({"rules": [{"match": {"path_prefix": "/a"}, "bypass": true}]}),
                None,
            ),
            (
                "one path for all users",
                json!({"user_info": {"path": "/users/:sub"}}),
                Some("$.user_info.path"),
            ),
            (
                "a service that reads the token",
                json!({"user_info": {"path": "/userinfo", "forward_token": true}}),
                None,
            ),
            (
                "a cookie that nobody reads",
                json!({"token": {"from_cookies": ["a"]},
                    "sealed_tokens": {"logins": [{"cookies": ["a", "b"]}]}}),
                Some("$.sealed_tokens.logins[0].cookies"),
            ),
            (
                "a private key of an issuer",
                json!({"providers": {"a": {"local_jwks": {"keys": [{"kty": "EC", "d": "x"}]}}}}),
                Some("$.providers.a.local_jwks"),
            ),
            (
                "a shared secret",
                json!({"providers": {"a": {"local_jwks": {"keys": [{"kty": "oct", "k": "x"}]}}}}),
                None,
            ),
        ] {
            let found = warnings(&document, "$");
            let paths: Vec<_> = found.iter().map(|it| it.path.as_str()).collect();
            assert_eq!(paths, expected.into_iter().collect::<Vec<_>>(), "{case}");
        }
    }
}
