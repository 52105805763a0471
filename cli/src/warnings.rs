//! Warnings about a valid configuration: few, each with advice.

use gatepass::denial::LoginRedirect;
use gatepass::identity::ScheduleGap;
use gatepass::pipeline::Settings;
use gatepass::rules::{Openness, Requirements};
use gatepass::time::UnixTime;
use serde_json::Value;

use crate::configuration::Configuration;
use crate::document::{step, texts};
pub use crate::located::Warning;
use crate::{literal, restrictions, upstream};

/// Warnings about a configuration, accepted or not, and the host's file around it.
pub fn of_frame(configuration: &Configuration) -> Vec<Warning> {
    let fails_open = configuration.frame.fails_open.iter();
    let fails_open = fails_open.map(|path| {
        // Envoy Gateway has no other word for it.
        let instead = if path.ends_with("ailOpen") { "set it to false" } else { "use FAIL_RELOAD" };
        let text = format!("every request passes when the filter fails: {instead}");
        Warning { path: path.clone(), text }
    });
    let literal = literal::warnings(&configuration.document, &configuration.path);
    fails_open.chain(configuration.frame.warnings.iter().cloned()).chain(literal).collect()
}

/// All warnings about a configuration that is accepted.
pub fn all(configuration: &Configuration, settings: &Settings, now: UnixTime) -> Vec<Warning> {
    let mut list = List { root: &configuration.path, warnings: of_frame(configuration) };
    let document = &configuration.document;
    list.warnings.extend(restrictions::warnings(document, &configuration.path));
    list.warnings.extend(upstream::warnings(document, settings, &configuration.path));
    list.providers(document);
    list.events(document);
    list.replaced(document);
    list.tokens(document);
    list.signing_keys(document, settings, now);
    list.rules(document);
    list.issuers(document, settings.providers.len());
    let login = settings.errors.login_redirect.as_ref().and_then(login_path);
    if login.is_some_and(|path| settings.rules.openness(path.as_bytes()) == Openness::Anonymous) {
        let text = "the page is denied to a browser whose cookie has ended: use bypass for it";
        list.add(".errors.login_redirect.to", text);
    }
    if document.get("mode").is_some_and(|mode| mode == "shadow") {
        list.add(".mode", "nothing is enforced: requests that would be denied pass");
    }
    if settings.limits.end_streams && configuration.frame.is_native.is_none() {
        let text = "only the native module for Envoy ends streams; every other host refuses this";
        list.add(".limits.end_streams", text);
    }
    let revocation = document.get("revocation").and_then(|it| it.get("failure_mode"));
    if revocation.is_some_and(|mode| mode == "allow") {
        list.add(".revocation.failure_mode", "revoked tokens pass while the feed fails");
    }
    let may_revoke = settings.revocations.endpoint().map(|endpoint| &endpoint.requires);
    let is_for_any_issuer = |it: &Requirements| {
        it.providers.is_empty() && it.consumers.is_empty() && it.groups_any.is_empty()
    };
    if settings.providers.len() > 1 && may_revoke.is_some_and(is_for_any_issuer) {
        let text = "a token of any provider revokes, if its issuer writes the scope or claim: name \
                    providers, consumers or groups_any";
        list.add(".revocation.endpoint.requires", text);
    }
    list.warnings
}

/// The path of a login page that is behind the filter itself.
pub fn login_path(login: &LoginRedirect) -> Option<&str> {
    login.to.starts_with('/').then(|| login.to.split('?').next())?
}

struct List<'a> {
    root: &'a str,
    warnings: Vec<Warning>,
}

impl List<'_> {
    fn add(&mut self, below: &str, text: &str) {
        self.warnings
            .push(Warning { path: format!("{}{below}", self.root), text: text.to_owned() });
    }

    fn providers(&mut self, document: &Value) {
        let has_revocation = document.get("revocation").is_some();
        let providers = document.get("providers").and_then(Value::as_object);
        for (name, provider) in providers.into_iter().flatten() {
            let path = step(".providers", name);
            let is = |field: &str, value: bool| provider.get(field) == Some(&Value::Bool(value));
            if texts(provider.get("algorithms")).iter().any(|name| name.starts_with("HS")) {
                let text = "whoever can verify HS* tokens can make them: prefer a key pair";
                self.add(&format!("{path}.algorithms"), text);
            }
            if is("allow_any_audience", true) {
                let text = "tokens that the issuer made for other services are accepted";
                self.add(&format!("{path}.allow_any_audience"), text);
            }
            if is("require_expiration", false) {
                self.add(&format!("{path}.require_expiration"), "tokens may be valid for ever");
            }
            if is("accept_unbound", true) {
                let text = "tokens bound to a key pass without proof of it";
                self.add(&format!("{path}.accept_unbound"), text);
            }
            let binding = provider.get("binding");
            binding.into_iter().for_each(|it| self.binding(&path, it));
            let is_bound = binding.and_then(|it| it.get("required")) == Some(&Value::Bool(true));
            if is_bound && document.get("resources").is_some() {
                let text = "hardly any MCP client can show a key: the others get no token that is \
                            accepted";
                self.add(&format!("{path}.binding.required"), text);
            }
            // A reference token is introspected again.
            let asks = provider.get("introspection").is_some();
            let of_own_kind = provider.get("kind").is_none_or(|kind| kind == "jwt");
            let is_bounded = provider.get("max_lifetime_seconds").is_some();
            if provider.get("logout").is_some() && !is_bounded {
                let text = "what a logout revokes is kept for ever, since tokens may live as long: \
                            set max_lifetime_seconds";
                self.add(&format!("{path}.logout"), text);
            }
            let has_keys = ["local_jwks", "remote_jwks", "discovery"]
                .iter()
                .any(|field| provider.get(*field).is_some());
            let says = provider.get("introspection").and_then(|it| it.get("jwts")).is_some();
            if asks && !has_keys && !says {
                let text = "the issuer is not asked about tokens in the form of a JWT, which are \
                            401: set jwts: true if it makes some, else jwts: false";
                self.add(&format!("{path}.introspection"), text);
            }
            if of_own_kind && !is_bounded && !has_revocation && !asks {
                let text = "a stolen token is good for as long as the issuer made it: set \
                            max_lifetime_seconds, or revocation";
                self.add(&path, text);
            }
        }
    }

    /// What several issuers may say of several people by one name.
    fn issuers(&mut self, document: &Value, count: usize) {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        if count > 1 && text("/identity_token/subject") == Some("{sub}") {
            let text = "two issuers may have the same sub for two people: services are to look at \
                        origin too, or write {provider}:{sub}";
            self.add(".identity_token.subject", text);
        }
        if count > 1 && text("/user_info/path").is_some_and(|path| !path.contains("{iss}")) {
            let text = "two issuers may have the same sub for two people, and one gets the data of \
                        the other: write {iss} into it";
            self.add(".user_info.path", text);
        }
        let user_info = document.get("user_info");
        let claims = user_info.and_then(|it| it.get("claims")).and_then(Value::as_object);
        let requires = user_info.is_some_and(|it| it.get("required").is_some());
        if claims.is_some_and(|claims| !claims.is_empty()) && !requires {
            let text = "a reply without any of claims is good enough: name in required those that \
                        services rely on ([] if none)";
            self.add(".user_info", text);
        }
    }

    /// What of `binding` is weaker than it looks.
    fn binding(&mut self, path: &str, binding: &Value) {
        if holds_everybody(binding.pointer("/mtls/from")) {
            let text =
                "anybody may say which certificate a client has: name the proxy that ends TLS";
            self.add(&format!("{path}.binding.mtls.from"), text);
        }
        if let Some(dpop) = binding.get("dpop")
            && dpop.get("public_origin").is_none()
        {
            let text = "a proof that was made for another server passes with that server's name in \
                        Host: set public_origin, or let the listener take its own hosts only";
            self.add(&format!("{path}.binding.dpop"), text);
        }
    }

    /// Transaction tokens that are taken from anybody.
    fn replaced(&mut self, document: &Value) {
        if holds_everybody(document.pointer("/identity_token/replace/from")) {
            let text = "whoever gets hold of a transaction token may use it from anywhere: name the \
                        networks of the services inside";
            self.add(".identity_token.replace.from", text);
        }
    }

    /// Entries that events make and that never end.
    fn events(&mut self, document: &Value) {
        let transmitters = document.pointer("/revocation/events/transmitters");
        let providers = document.get("providers").and_then(Value::as_object);
        for (position, transmitter) in
            transmitters.and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            let named = transmitter.get("provider").and_then(Value::as_str);
            let provider = providers.and_then(|providers| match named {
                Some(name) => providers.get(name),
                None => providers.values().next(),
            });
            if provider.is_some_and(|it| it.get("max_lifetime_seconds").is_none()) {
                let text = "what an event revokes is kept for ever, since tokens may live as long: \
                            set max_lifetime_seconds of its provider";
                self.add(&format!(".revocation.events.transmitters[{position}]"), text);
            }
        }
    }

    fn tokens(&mut self, document: &Value) {
        let Some(token) = document.get("token") else { return };
        if !texts(token.get("from_params")).is_empty() {
            let text = "tokens in URLs end up in logs, histories and Referer";
            self.add(".token.from_params", text);
        }
        if token.get("forward") == Some(&Value::Bool(true)) {
            self.add(".token.forward", "services get the access token and can use it themselves");
        }
    }

    fn signing_keys(&mut self, document: &Value, settings: &Settings, now: UnixTime) {
        const KEYS: &str = ".identity_token.signing_keys";
        let keys = &settings.minter.keys;
        // The last key's end, which nothing follows yet: a host starts with it, and logs nothing.
        let end = || Some(ScheduleGap { from: keys.ends_at(now)?, until: None });
        if let Some(gap) = keys.gap(now).or_else(end) {
            self.add(KEYS, &format!("{gap}: requests are answered 503 then"));
        }
        let keys = document.pointer("/identity_token/signing_keys").and_then(Value::as_array);
        for (position, key) in keys.into_iter().flatten().enumerate() {
            let is_here = |key: &Value| key.is_string() || key.get("kty").is_some();
            if key.get("private_key").is_some_and(is_here) {
                let text = "a private key in a file: use {env: NAME}";
                self.add(&format!("{KEYS}[{position}].private_key"), text);
            }
        }
    }

    /// Rules that no request comes to.
    fn rules(&mut self, document: &Value) {
        let rules = document.get("rules").and_then(Value::as_array);
        let matches = rules.into_iter().flatten().map(|rule| rule.get("match"));
        let matches: Vec<_> = matches.collect();
        for (position, later) in matches.iter().enumerate() {
            let earlier = matches.iter().take(position);
            let hider = earlier.enumerate().find(|(_, earlier)| covers(**earlier, *later));
            if let Some((hider, _)) = hider {
                let text = format!("never reached: rule {hider} matches all that it does");
                self.add(&format!(".rules[{position}]"), &text);
            }
            let headers = later.and_then(|it| it.get("headers")).and_then(Value::as_array);
            let names = headers.into_iter().flatten().filter_map(|it| it.get("name")?.as_str());
            let is_of_mcp = |name: &str| {
                ["mcp-name", "mcp-method"].iter().any(|own| own.eq_ignore_ascii_case(name))
            };
            if names.into_iter().any(is_of_mcp) {
                let text = "clients of older versions may write anything there: use match.mcp";
                self.add(&format!(".rules[{position}].match.headers"), text);
            }
        }
    }
}

/// True if `earlier` certainly matches everything that `later` matches.
fn covers(earlier: Option<&Value>, later: Option<&Value>) -> bool {
    let (Some(earlier), Some(later)) = (earlier, later) else { return false };
    let Some(conditions) = earlier.as_object() else { return false };
    conditions.iter().all(|(name, value)| {
        later.get(name) == Some(value) || name == "path_prefix" && is_prefix(value, later)
    })
}

/// True if all that `later` matches is at this prefix or below it.
fn is_prefix(prefix: &Value, later: &Value) -> bool {
    let path = later.get("path").or_else(|| later.get("path_prefix"));
    matches!((prefix.as_str(), path.and_then(Value::as_str)), (Some(prefix), Some(path))
    if path.strip_prefix(prefix).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/')
    }))
}

/// Whether networks hold every address of a kind.
fn holds_everybody(networks: Option<&Value>) -> bool {
    texts(networks).iter().any(|network| network.ends_with("/0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_request_comes_to() {
        for (case, earlier, later, expected) in [
            ("everything before", json!({}), json!({"path": "/a"}), true),
            ("the same", json!({"path": "/a"}), json!({"path": "/a"}), true),
            ("below", json!({"path_prefix": "/a"}), json!({"path": "/a/b"}), true),
            ("the prefix itself", json!({"path_prefix": "/a"}), json!({"path_prefix": "/a"}), true),
            ("only alike", json!({"path_prefix": "/a"}), json!({"path": "/ab"}), false),
            ("above", json!({"path_prefix": "/a/b"}), json!({"path_prefix": "/a"}), false),
            (
                "some methods",
                json!({"path_prefix": "/a", "methods": ["GET"]}),
                json!({"path": "/a"}),
                false,
            ),
            (
                "a tool of that path",
                json!({"path": "/mcp"}),
                json!({"path": "/mcp", "methods": ["POST"], "mcp": {"names": ["a"]}}),
                true,
            ),
            (
                "another tool",
                json!({"path": "/mcp", "mcp": {"names": ["a"]}}),
                json!({"path": "/mcp", "mcp": {"names": ["b"]}}),
                false,
            ),
            (
                "all of that tool",
                json!({"path": "/mcp", "mcp": {"names": ["a"]}}),
                json!({"path": "/mcp"}),
                false,
            ),
            ("any path", json!({"path_prefix": "/"}), json!({"methods": ["GET"]}), false),
        ] {
            assert_eq!(covers(Some(&earlier), Some(&later)), expected, "{case}");
        }
    }
}
