//! What was found in a token, beside what was expected, check by check.
//!
//! The gateway decides, and ends at the first check that fails. An operator wants to see
//! both sides of all of them, and times that can be read.

use gatepass::http::RequestHead;
use gatepass::json::Document;
use gatepass::json::Json;
use gatepass::pipeline::Settings;
use gatepass::rules::{Access, Requirements};
use gatepass::time::{Span, UnixTime};
use gatepass::token::{ClaimRule, ClaimTest, Issuance, Provider, Scopes, Untrusted, numeric_date};
use serde_json::{Map, Value, json};

use crate::time::date;

/// One check.
pub struct Comparison {
    /// What is checked.
    pub check: String,
    /// Whether it passes.
    pub passes: bool,
    /// What the token has.
    pub found: String,
    /// How both are, if it passes, and if not.
    relation: (&'static str, &'static str),
    /// What is accepted.
    pub expected: String,
}

impl Comparison {
    /// For people.
    pub fn text(&self) -> String {
        let Self { check, passes, found, relation, expected } = self;
        let (mark, relation) = if *passes { ("ok", relation.0) } else { ("NO", relation.1) };
        format!("{mark} {check} {found} {relation} {expected}")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Self { check, passes, found, expected, .. } = self;
        json!({ "check": check, "passes": passes, "found": found, "expected": expected })
    }
}

/// The checks of a token, and those of the rule that a request falls under.
pub fn all(
    settings: &Settings,
    head: &RequestHead,
    token: &[u8],
    now: UnixTime,
) -> Vec<Comparison> {
    let Ok(token) = Untrusted::parse(token, usize::MAX) else { return Vec::new() };
    let claims = token.unverified_claims().to_map();
    let mut list = List { claims: &claims, found: Vec::new() };
    let issuers = settings.providers.iter().filter_map(|(provider, _)| match &provider.issuance {
        Issuance::Issuer(issuer) => Some((provider, issuer)),
        _ => None,
    });
    let issuers: Vec<_> = issuers.collect();
    let own = issuers.iter().find(|(_, issuer)| issuer.is_named_by(list.claims));
    let known: Vec<_> = match own {
        Some((_, issuer)) => vec![issuer.text()],
        None => issuers.iter().map(|(_, issuer)| issuer.text()).collect(),
    };
    if !known.is_empty() {
        list.is_one_of("issuer", list.texts("iss"), own.is_some(), &known);
    }
    // Of one provider alone it is clear whose token it should be.
    let only = issuers.first().filter(|_| issuers.len() == 1);
    let Some((provider, _)) = own.or(only) else { return list.found };
    list.header(provider, &token);
    let rule = settings.rules.find(head).ok().flatten().map(|(_, rule)| &rule.access);
    let requirements = match rule {
        Some(Access::Requires(requirements)) => Some(&**requirements),
        _ => None,
    };
    list.audience(provider, requirements);
    list.times(provider, now);
    list.rules("claim", &provider.required_claims, true);
    if let Some(requirements) = requirements {
        list.requirements(requirements);
    }
    list.found
}

/// The key that a token names, beside those of a key set.
pub fn key(own: &str, jwks: &Value) -> Option<Comparison> {
    let keys = jwks.get("keys").and_then(Value::as_array)?;
    let known: Vec<_> = keys.iter().filter_map(|key| key.get("kid")?.as_str()).collect();
    if known.is_empty() {
        return None;
    }
    let no_claims = Map::new();
    let mut list = List { claims: &no_claims, found: Vec::new() };
    list.is_one_of("key", vec![own.to_owned()], known.contains(&own), &known);
    list.found.pop()
}

struct List<'a> {
    claims: &'a Map<String, Value>,
    found: Vec<Comparison>,
}

impl List<'_> {
    fn add(
        &mut self,
        check: impl Into<String>,
        passes: bool,
        found: String,
        relation: (&'static str, &'static str),
        expected: String,
    ) {
        self.found.push(Comparison { check: check.into(), passes, found, relation, expected });
    }

    fn is_one_of(&mut self, check: &str, found: Vec<String>, passes: bool, accepted: &[&str]) {
        let expected = match accepted {
            [only] => format!("{only:?}"),
            several => format!("one of {}", quoted(several.iter().copied())),
        };
        self.add(check, passes, shown(&found), ("is", "is not"), expected);
    }

    /// The texts of a claim.
    fn texts(&self, claim: &str) -> Vec<String> {
        match self.claims.get(claim) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    fn header(&mut self, provider: &Provider, token: &Untrusted<'_>) {
        let typ = token.typ().map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        let (passes, expected) = match &provider.token_types {
            Some(types) => {
                let passes = types.iter().any(|it| it.as_deref() == typ);
                let named = quoted(types.iter().flatten().map(String::as_str));
                let nothing = if types.contains(&None) { "nothing, or " } else { "" };
                (passes, format!("{nothing}one of {named}"))
            }
            None => {
                let passes = typ.is_none_or(|typ| ["jwt", "at+jwt"].contains(&typ));
                (passes, "nothing, \"JWT\" or \"at+jwt\"".to_owned())
            }
        };
        let found = shown(&Vec::from_iter(token.typ().map(str::to_owned)));
        self.add("type", passes, found, ("is", "is not"), expected);
        let accepted: Vec<_> = provider.algorithms.iter().map(|it| it.name()).collect();
        let own = token.algorithm_name();
        self.is_one_of("algorithm", vec![own.to_owned()], accepted.contains(&own), &accepted);
    }

    fn audience(&mut self, provider: &Provider, requirements: Option<&Requirements>) {
        let of_rule = requirements.map(|it| it.audiences.as_slice()).unwrap_or_default();
        let lists = [provider.audiences.as_deref().unwrap_or_default(), of_rule];
        for (list, check) in lists.into_iter().zip(["audience", "audience, of the rule,"]) {
            if list.is_empty() {
                continue;
            }
            let found = self.texts("aud");
            let accepted: Vec<_> = list.iter().map(String::as_str).collect();
            let passes = found.iter().any(|it| accepted.contains(&it.as_str()));
            self.is_one_of(check, found, passes, &accepted);
        }
    }

    fn times(&mut self, provider: &Provider, now: UnixTime) {
        let skew = provider.clock_skew;
        let at = |claim| numeric_date(self.claims, claim);
        let (exp, nbf, iat) = (at("exp"), at("nbf"), at("iat"));
        let early = now.minus(skew);
        match exp {
            Ok(Some(exp)) => self.add(
                "exp",
                exp > early,
                moment(exp),
                ("is after", "is not after"),
                with(now, skew, "less"),
            ),
            Ok(None) if !provider.require_expiration => {}
            _ => self.add(
                "exp",
                false,
                self.raw("exp"),
                ("is", "is not"),
                "seconds since 1970".to_owned(),
            ),
        }
        for (claim, time) in [("nbf", &nbf), ("iat", &iat)] {
            match time {
                Ok(Some(time)) => {
                    let passes = *time <= now.plus(skew);
                    let relation = ("is not after", "is after");
                    self.add(claim, passes, moment(*time), relation, with(now, skew, "and"));
                }
                Ok(None) => {}
                Err(_) => self.add(
                    claim,
                    false,
                    self.raw(claim),
                    ("is", "is not"),
                    "seconds since 1970".to_owned(),
                ),
            }
        }
        if let (Ok(Some(exp)), Some(limit)) = (exp, provider.max_lifetime) {
            let start = iat.ok().flatten().unwrap_or(now);
            let lifetime = exp.since(start);
            let found = format!("of {} s", lifetime.as_secs());
            let expected = format!("{} s", limit.as_secs());
            self.add(
                "lifetime",
                lifetime <= limit,
                found,
                ("is at most", "is more than"),
                expected,
            );
        }
    }

    /// A claim as it is.
    fn raw(&self, claim: &str) -> String {
        self.claims.get(claim).map_or_else(|| "(none)".to_owned(), cut)
    }

    /// Claims with their conditions. Those of a rule may be in user info instead.
    fn rules(&mut self, check: &str, rules: &[ClaimRule], are_of_token: bool) {
        for rule in rules {
            let found = rule.path.find(self.claims).map(Json::to_value);
            if found.is_none() && !are_of_token {
                continue;
            }
            let (relation, expected) = match &rule.test {
                ClaimTest::Present => (("is", "is not"), "there".to_owned()),
                ClaimTest::Absent => (("is", "is not"), "absent".to_owned()),
                ClaimTest::AnyOf(values) => (("is", "is not"), one_of(values)),
                ClaimTest::Equals(values) => (("is", "is not itself"), one_of(values)),
                ClaimTest::Contains(values) => {
                    (("is", "is not"), format!("a list with {}", one_of(values)))
                }
            };
            let name = format!("{check} {}", rule.path);
            let shown = found.as_ref().map_or_else(|| "(none)".to_owned(), cut);
            self.add(name, rule.accepts(found.as_ref().map(Json::from)), shown, relation, expected);
        }
    }

    fn requirements(&mut self, it: &Requirements) {
        let scopes = Scopes::in_claims(&Document::of(self.claims));
        let holds = |scope: &String| scopes.contains(scope);
        let found = || shown(&scopes.to_vec());
        let mut more = Vec::new();
        if !it.scopes_all.is_empty() {
            let relation = ("holds", "does not hold all of");
            more.push((it.scopes_all.iter().all(holds), relation, &it.scopes_all));
        }
        if !it.scopes_any.is_empty() {
            let relation = ("holds one of", "holds none of");
            more.push((it.scopes_any.iter().any(holds), relation, &it.scopes_any));
        }
        for (passes, relation, scopes) in more {
            let expected = quoted(scopes.iter().map(String::as_str));
            self.add("scope", passes, found(), relation, expected);
        }
        self.rules("claim", &it.claims, false);
    }
}

fn one_of(values: &[Value]) -> String {
    let values: Vec<_> = values.iter().map(cut).collect();
    format!("one of {}", values.join(", "))
}

/// A time in both forms.
fn moment(time: UnixTime) -> String {
    format!("{} ({})", time.as_secs(), date(time))
}

fn with(now: UnixTime, skew: Span, word: &str) -> String {
    format!("now, {} {word} {} s of clock_skew_seconds", moment(now), skew.as_secs())
}

fn quoted<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

fn shown(texts: &[String]) -> String {
    if texts.is_empty() { "(none)".to_owned() } else { quoted(texts.iter().map(String::as_str)) }
}

/// A value, cut where it is long.
fn cut(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(128) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
