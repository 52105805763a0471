//! Envoy's filter jwt_authn: the first rule that matches, requirements of one token, and
//! no requirement where nothing matches.

use serde_json::{Value, json};

use crate::support::Random;
use crate::{ISSUERS, Request, Token, chance, jwks, normalized, pick, tried};

/// A path's condition: as it is written, and what it matches.
type PathTest = (fn() -> Value, fn(&str) -> bool);

const TESTS: [PathTest; 13] = [
    (|| json!({"prefix": "/"}), |_| true),
    (|| json!({"prefix": "/a"}), |it| it.starts_with("/a")),
    (|| json!({"prefix": "/a/"}), |it| it.starts_with("/a/")),
    (|| json!({"prefix": "/b"}), |it| it.starts_with("/b")),
    (|| json!({"path": "/health"}), |it| it == "/health"),
    (|| json!({"path": "/a/b"}), |it| it == "/a/b"),
    (|| json!({"path": "/a+b"}), |it| it == "/a+b"),
    (|| json!({"path_separated_prefix": "/a"}), |it| it == "/a" || it.starts_with("/a/")),
    (|| json!({"safe_regex": {"regex": "/a/[^/]+/b"}}), |it| it == "/a/x/b"),
    (
        || json!({"safe_regex": {"google_re2": {}, "regex": "^/b(/.*)?$"}}),
        |it| it == "/b" || it.starts_with("/b/"),
    ),
    (|| json!({"safe_regex": {"regex": "/(a|b)/x"}}), |it| it == "/a/x" || it == "/b/x"),
    (|| json!({"safe_regex": {"regex": "/a/b?"}}), |it| it == "/a/b" || it == "/a/"),
    (|| json!({"safeRegex": {"regex": "/h.*"}}), |it| it.starts_with("/h")),
];

#[derive(Clone)]
struct Rule {
    path: usize,
    method: Option<&'static str>,
    host: Option<&'static str>,
    mode: Option<&'static str>,
    asks_query: bool,
    requires: Requires,
}

#[derive(Clone)]
enum Requires {
    Nothing,
    Provider(usize, Option<&'static str>),
    Any(Vec<Requires>),
    All(Vec<Requires>),
    AllowMissing,
    AllowMissingOrFailed,
}

struct Filter {
    /// Audiences of the providers; the third has the issuer of the first.
    audiences: [Option<&'static str>; 3],
    rules: Vec<Rule>,
}

const ISSUER_OF: [usize; 3] = [0, 1, 0];

fn requires(random: &mut Random, depth: usize) -> Requires {
    let audience = |random: &mut Random| pick(random, &[None, None, Some("x"), Some("z")]);
    match random.below(if depth == 0 { 6 } else { 10 }) {
        0 => Requires::Nothing,
        1..4 => {
            let provider = random.below(3);
            Requires::Provider(provider, audience(random))
        }
        4 => Requires::AllowMissing,
        5 if depth > 0 && random.below(3) > 0 => Requires::AllowMissing,
        5 => Requires::AllowMissingOrFailed,
        6..9 => Requires::Any((0..2).map(|_| requires(random, depth - 1)).collect()),
        _ => Requires::All((0..2).map(|_| requires(random, depth - 1)).collect()),
    }
}

impl Requires {
    fn json(&self) -> Value {
        let list =
            |all: &[Self]| json!({"requirements": all.iter().map(Self::json).collect::<Vec<_>>()});
        let name = |provider: usize| ["pa", "pb", "pc"][provider];
        match self {
            Self::Nothing => json!({}),
            Self::Provider(provider, None) => json!({"provider_name": name(*provider)}),
            Self::Provider(provider, Some(audience)) => json!({"provider_and_audiences": {
                "provider_name": name(*provider), "audiences": [audience],
            }}),
            Self::Any(all) => json!({"requires_any": list(all)}),
            Self::All(all) => json!({"requires_all": list(all)}),
            Self::AllowMissing => json!({"allow_missing": {}}),
            Self::AllowMissingOrFailed => json!({"allowMissingOrFailed": {}}),
        }
    }

    const fn allows_missing(&self) -> bool {
        matches!(self, Self::AllowMissing | Self::AllowMissingOrFailed)
    }

    fn holds(&self, filter: &Filter, token: Option<&Token>) -> bool {
        let is_of = |provider: usize, instead: Option<&str>| {
            token.is_some_and(|token| filter.accepts(provider, instead, token))
        };
        match self {
            Self::Nothing | Self::AllowMissingOrFailed => true,
            Self::Provider(provider, instead) => is_of(*provider, *instead),
            // Among others `allow_missing` takes no token of a provider that is not listed.
            Self::Any(all) => all.iter().any(|it| match it {
                Self::AllowMissing if !all.iter().all(Self::allows_missing) => token.is_none(),
                it => it.holds(filter, token),
            }),
            Self::All(all) => all.iter().all(|it| it.holds(filter, token)),
            Self::AllowMissing => token.is_none() || (0..3).any(|provider| is_of(provider, None)),
        }
    }
}

impl Filter {
    fn random(random: &mut Random) -> (String, Self) {
        let audiences = [(); 3].map(|()| pick(random, &[None, None, Some("x"), Some("y")]));
        let rules = (0..1 + random.below(5)).map(|_| Rule {
            path: random.below(TESTS.len()),
            method: chance(random, 4).then_some("GET"),
            host: chance(random, 6)
                .then(|| pick(random, &["a.example", "a.example", "A.EXAMPLE", "a.example:8080"])),
            mode: chance(random, 6).then_some("one"),
            asks_query: chance(random, 8),
            requires: requires(random, 2),
        });
        let filter = Self { audiences, rules: rules.collect() };
        (filter.text(random), filter)
    }

    fn text(&self, random: &mut Random) -> String {
        let provider = |position: usize| {
            let issuer = ISSUER_OF[position];
            let mut provider = json!({
                "issuer": ISSUERS[issuer].0, "local_jwks": {"inline_string": jwks(issuer)},
            });
            if let Some(audience) = self.audiences[position] {
                provider["audiences"] = json!([audience]);
            }
            provider
        };
        let rules: Vec<_> = self.rules.iter().map(Rule::json).collect();
        let filter = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"pa": provider(0), "pb": provider(1), "pc": provider(2)},
            "rules": rules,
        });
        let around = json!({"static_resources": {"listeners": [{
            "normalize_path": chance(random, 2), "http_filters": [{"typed_config": filter}],
        }]}});
        around.to_string()
    }

    fn accepts(&self, provider: usize, instead: Option<&str>, token: &Token) -> bool {
        let audience = instead.or(self.audiences[provider]);
        let has = |audience: &str| match &token.claims["aud"] {
            Value::String(own) => own == audience,
            Value::Array(all) => all.iter().any(|own| own == audience),
            _ => false,
        };
        token.issuer == ISSUER_OF[provider] && !token.is_expired && audience.is_none_or(has)
    }

    fn decides(&self, request: &Request) -> bool {
        let rule = self.rules.iter().find(|rule| rule.matches(request));
        rule.is_none_or(|rule| rule.requires.holds(self, request.token.as_ref()))
    }
}

impl Rule {
    fn json(&self) -> Value {
        let mut matching = TESTS[self.path].0();
        let mut headers = Vec::new();
        if let Some(method) = self.method {
            headers.push(json!({"name": ":method", "string_match": {"exact": method}}));
        }
        if let Some(host) = self.host {
            headers.push(json!({"name": ":authority", "exact_match": host}));
        }
        if let Some(mode) = self.mode {
            headers.push(json!({"name": "X-Mode", "stringMatch": {"exact": mode}}));
        }
        if !headers.is_empty() {
            matching["headers"] = headers.into();
        }
        if self.asks_query {
            matching["query_parameters"] = json!([{"name": "x"}]);
        }
        match &self.requires {
            Requires::Nothing => json!({"match": matching}),
            requires => json!({"match": matching, "requires": requires.json()}),
        }
    }

    fn matches(&self, request: &Request) -> bool {
        TESTS[self.path].1(&normalized(request.path))
            && self.method.is_none_or(|method| method == request.method)
            && self.host.is_none_or(|host| host == request.host)
            && self.mode.is_none_or(|mode| request.mode == Some(mode))
            && (!self.asks_query || request.query.starts_with("?x="))
    }
}

#[test]
fn nothing_passes_that_envoy_refuses() {
    let seen = tried(Filter::random, Filter::decides);
    if seen.is_full {
        assert!(seen.opened > 900 && seen.closed > 1500, "it proves something");
        assert!(seen.stricter < seen.closed * 2 / 3, "what is converted is of use");
    }
}
