//! Envoy Gateway's SecurityPolicy: a token of one of the providers, then the first rule
//! of `authorization` that matches.

use serde_json::{Value, json};

use crate::support::Random;
use crate::{ISSUERS, Request, chance, jwks, pick, tried};

struct Policy {
    audiences: [Option<&'static str>; 2],
    is_optional: bool,
    rules: Option<Vec<Rule>>,
    allows: bool,
}

struct Rule {
    allows: bool,
    methods: Vec<&'static str>,
    mode: Option<&'static str>,
    is_near: bool,
    jwt: Option<Jwt>,
}

/// A provider, scopes, and a claim, whether it is to be a list, and its value.
type Jwt = (usize, Vec<&'static str>, Option<(&'static str, bool, &'static str)>);

impl Policy {
    fn random(random: &mut Random) -> (String, Self) {
        let rules = chance(random, 4).then(Vec::new).map_or_else(
            || Some((0..random.below(4)).map(|_| Rule::random(random)).collect()),
            |_: Vec<Rule>| None,
        );
        let policy = Self {
            audiences: [(); 2].map(|()| pick(random, &[None, Some("x")])),
            is_optional: chance(random, 4),
            rules,
            allows: chance(random, 3),
        };
        (policy.text(), policy)
    }

    fn text(&self) -> String {
        let providers = [0, 1].map(|issuer| {
            let mut provider = json!({
                "name": (ISSUERS[issuer].1), "issuer": ISSUERS[issuer].0,
                "localJWKS": {"type": "Inline", "inline": jwks(issuer)},
            });
            if let Some(audience) = self.audiences[issuer] {
                provider["audiences"] = json!([audience]);
            }
            provider
        });
        let mut spec = json!({
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}],
            "jwt": {"optional": self.is_optional, "providers": providers},
        });
        if let Some(rules) = &self.rules {
            spec["authorization"] = json!({
                "defaultAction": if self.allows { "Allow" } else { "Deny" },
                "rules": rules.iter().map(Rule::json).collect::<Vec<_>>(),
            });
        }
        json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy",
            "metadata": {"name": "p", "namespace": "n"}, "spec": spec,
        })
        .to_string()
    }

    fn decides(&self, request: &Request) -> bool {
        let is_valid = match &request.token {
            None => self.is_optional,
            Some(token) => {
                let has = |audience: &str| match &token.claims["aud"] {
                    Value::String(own) => own == audience,
                    Value::Array(all) => all.iter().any(|own| own == audience),
                    _ => false,
                };
                !token.is_expired && self.audiences[token.issuer].is_none_or(has)
            }
        };
        let Some(rules) = &self.rules else { return is_valid };
        let rule = rules.iter().find(|rule| rule.matches(request));
        is_valid && rule.map_or(self.allows, |rule| rule.allows)
    }
}

impl Rule {
    fn random(random: &mut Random) -> Self {
        let jwt = (random.below(3) > 0).then(|| {
            let provider = random.below(2);
            let scopes = if chance(random, 2) { vec!["read"] } else { Vec::new() };
            let claims = [
                ("groups", true, "staff"),
                ("groups", false, "staff"),
                ("org.id", false, "1"),
                ("sub", false, "alice"),
                ("sub", true, "alice"),
                ("scope", true, "read"),
                ("scope", false, "read"),
                ("scope", false, "read write"),
            ];
            let is_asked = scopes.is_empty() || chance(random, 2);
            (provider, scopes, is_asked.then(|| pick(random, &claims)))
        });
        Self {
            allows: random.below(3) > 0,
            methods: if chance(random, 2) { vec!["GET", "POST"] } else { Vec::new() },
            mode: chance(random, 5).then_some("one"),
            is_near: chance(random, 6),
            jwt,
        }
    }

    fn json(&self) -> Value {
        let mut principal = json!({});
        if let Some((provider, scopes, claim)) = &self.jwt {
            let mut jwt = json!({"provider": ISSUERS[*provider].1});
            if !scopes.is_empty() {
                jwt["scopes"] = json!(scopes);
            }
            if let Some((name, is_list, value)) = claim {
                jwt["claims"] = json!([{"name": name, "values": [value]}]);
                // A text, if nothing is said.
                if *is_list || self.is_near {
                    let kind = if *is_list { "StringArray" } else { "String" };
                    jwt["claims"][0]["valueType"] = json!(kind);
                }
            }
            principal["jwt"] = jwt;
        }
        if let Some(mode) = self.mode {
            principal["headers"] = json!([{"name": "X-Mode", "values": [mode]}]);
        }
        if self.is_near {
            principal["clientCIDRs"] = json!(["10.0.0.0/8"]);
        }
        let mut rule = json!({
            "action": if self.allows { "Allow" } else { "Deny" }, "principal": principal,
        });
        if !self.methods.is_empty() {
            rule["operation"] = json!({"methods": self.methods});
        }
        rule
    }

    fn matches(&self, request: &Request) -> bool {
        let has_token = self.jwt.as_ref().is_none_or(|(provider, scopes, claim)| {
            request.token.as_ref().is_some_and(|token| {
                let own = token.claims["scope"].as_str().unwrap_or_default();
                let has_claim = claim.is_none_or(|(name, is_list, value)| {
                    let found = match name {
                        "org.id" => &token.claims["org"]["id"],
                        name => &token.claims[name],
                    };
                    // Envoy Gateway has Envoy make lists of these texts.
                    let words = found.as_str().filter(|_| name == "scope");
                    let words = words.map(|text| text.split(' ').map(Value::from).collect());
                    match words.as_ref().or(found.as_array()) {
                        Some(all) => is_list && all.iter().any(|it| it == value),
                        None => !is_list && found == value,
                    }
                });
                token.issuer == *provider
                    && scopes.iter().all(|scope| own.split(' ').any(|it| it == *scope))
                    && has_claim
            })
        });
        has_token
            && (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.mode.is_none_or(|mode| request.mode == Some(mode))
            && (!self.is_near || request.is_near)
    }
}

#[test]
fn nothing_passes_that_envoy_gateway_refuses() {
    let seen = tried(Policy::random, Policy::decides);
    if seen.is_full {
        assert!(seen.opened > 600 && seen.closed > 1500, "it proves something");
        assert!(seen.stricter < seen.closed / 2, "what is converted is of use");
    }
}
