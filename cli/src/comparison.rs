//! What was found in a token, beside what was expected, check by check.
//!
//! The gateway decides, and ends at the first check that fails. An operator wants to see
//! both sides of all of them, and times that can be read. Whether a check passes, and what
//! it is made against, the gateway's own code says; here it is only put into words.

use gatepass::event::Trace;
use gatepass::host::RequestId;
use gatepass::http::RequestHead;
use gatepass::json::{Document, Json};
use gatepass::pipeline::Pipeline;
use gatepass::rules::Requirements;
use gatepass::time::{Span, UnixTime};
use gatepass::token::{
    Audience, ClaimRule, ClaimTest, EVENTS_CLAIM, Provider, Rejection, Scopes, Untrusted,
    numeric_date, refuse_events,
};
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

/// What a token was checked for.
pub struct Checked<'a> {
    /// The gateway that decided.
    pub gateway: &'a Pipeline,
    /// The request.
    pub head: &'a RequestHead,
    /// How far it got, by which rule and for which resource.
    pub trace: &'a Trace,
    /// The keys of the token's provider, as far as they are given.
    pub keys: Option<&'a Value>,
    /// Whether its claims are those of an introspection response.
    pub is_introspected: bool,
    /// When.
    pub now: UnixTime,
}

impl Checked<'_> {
    /// The checks of a token, each by itself: those of its provider, and those of the
    /// request's rule.
    pub fn all(&self, token: &[u8]) -> Vec<Comparison> {
        let Ok(token) = Untrusted::parse(token, usize::MAX) else { return Vec::new() };
        let claims = token.unverified_claims().to_map();
        let mut list = List { claims: &claims, found: Vec::new() };
        let own = self.gateway.provider_of(&token);
        let issuers: Vec<_> =
            self.gateway.providers().iter().filter(|it| it.issuer().is_some()).collect();
        let known: Vec<_> = match &own {
            Some(provider) => provider.issuer().into_iter().collect(),
            None => issuers.iter().filter_map(|provider| provider.issuer()).collect(),
        };
        if !known.is_empty() {
            list.is_one_of("issuer", list.texts("iss"), own.is_some(), &known);
        }
        // Of one provider alone it is clear whose token it should be.
        let only = || issuers.first().filter(|_| issuers.len() == 1).copied();
        let Some(provider) = own.as_ref().or_else(only) else { return list.found };
        list.header(provider, &token);
        if let Some(key) = token.key_id().zip(self.keys).and_then(|(own, keys)| key(own, keys)) {
            list.found.push(key);
        }
        // The owner of a credential is trusted about few of its claims.
        let is_whole = provider.issuer().is_some() && !self.is_introspected;
        let requirements = match is_whole {
            true => self.gateway.requirements_of(RequestId::default(), self.head, self.trace),
            false => Vec::new(),
        };
        if !self.is_introspected {
            let is_own = self.trace.resource.is_some();
            let check = if is_own { "audience, of the resource," } else { "audience" };
            let accepted = self.gateway.audiences_of(self.trace, provider);
            list.audience(accepted.map(|accepted| (check, accepted)), &requirements);
        }
        list.times(provider, &token, self.now);
        if is_whole {
            list.rules("claim", provider.required_claims.iter());
        }
        for it in requirements {
            list.provider(it, provider, self.gateway);
            list.scopes(it);
            let of_token = |rule: &&ClaimRule| !self.gateway.is_decided_by_user_info(&rule.path);
            list.rules("claim", it.claims.iter().filter(of_token));
        }
        list.found
    }
}

/// The key that a token names, beside those of a key set.
fn key(own: &str, jwks: &Value) -> Option<Comparison> {
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
        let expected = match &provider.token_types {
            _ if provider.issuer().is_none() => "anything but a type of the gateway".to_owned(),
            Some(types) => {
                let named = quoted(types.iter().flatten().map(String::as_str));
                let nothing = if types.contains(&None) { "nothing, or " } else { "" };
                format!("{nothing}one of {named}")
            }
            None => "nothing, \"JWT\" or \"at+jwt\"".to_owned(),
        };
        let found = shown(&Vec::from_iter(token.typ().map(str::to_owned)));
        self.add("type", provider.check_type(token).is_ok(), found, ("is", "is not"), expected);
        if refuse_events(token.unverified_claims()).is_err() {
            let found = self.raw(EVENTS_CLAIM);
            self.add(EVENTS_CLAIM, false, found, ("is", "is not"), "absent".to_owned());
        }
        let accepted: Vec<_> = provider.algorithms.iter().map(|it| it.name()).collect();
        let own = vec![token.algorithm_name().to_owned()];
        self.is_one_of("algorithm", own, provider.check_algorithm(token).is_ok(), &accepted);
    }

    /// `aud`, by the provider or the resource (`own`), and by the rules.
    fn audience(&mut self, own: Option<(&str, &[String])>, requirements: &[&Requirements]) {
        let of_rules = requirements.iter().map(|it| it.audiences.as_slice());
        let of_rules = of_rules.filter(|accepted| !accepted.is_empty());
        let of_rules = of_rules.map(|accepted| ("audience, of the rule,", accepted));
        let audience = Audience::of(self.claims);
        for (check, accepted) in own.into_iter().chain(of_rules) {
            let texts: Vec<_> = accepted.iter().map(String::as_str).collect();
            self.is_one_of(check, self.texts("aud"), audience.check(accepted).is_ok(), &texts);
        }
    }

    fn times(&mut self, provider: &Provider, token: &Untrusted<'_>, now: UnixTime) {
        let skew = provider.clock_skew;
        for (check, result) in provider.inspect_times(token.unverified_claims(), now) {
            let passes = result.is_ok();
            if check == "lifetime" {
                self.lifetime(provider, passes, now);
                continue;
            }
            let is_date =
                !matches!(result, Err(Rejection::ClaimMalformed(_) | Rejection::ClaimMissing(_)));
            let time = numeric_date(self.claims, check).ok().flatten().filter(|_| is_date);
            let (found, relation, expected) = match (time, check) {
                (Some(exp), "exp") => {
                    (moment(exp), ("is after", "is not after"), format!("now, {}", moment(now)))
                }
                (Some(from), _) => (moment(from), ("is not after", "is after"), with(now, skew)),
                // It may be missing.
                (None, _) if passes => continue,
                (None, _) => (self.raw(check), ("is", "is not"), "seconds since 1970".to_owned()),
            };
            self.add(check, passes, found, relation, expected);
        }
    }

    fn lifetime(&mut self, provider: &Provider, passes: bool, now: UnixTime) {
        let Some(limit) = provider.max_lifetime else { return };
        let at = |claim| numeric_date(self.claims, claim);
        let (Ok(exp), Ok(iat)) = (at("exp"), at("iat")) else { return };
        let found = match provider.lifetime(exp, iat, now) {
            Some(lifetime) => format!("of {} s", lifetime.as_secs()),
            None => "without end".to_owned(),
        };
        let relation = ("is at most", "is more than");
        self.add("lifetime", passes, found, relation, format!("{} s", limit.as_secs()));
    }

    /// A claim as it is.
    fn raw(&self, claim: &str) -> String {
        self.claims.get(claim).map_or_else(|| "(none)".to_owned(), cut)
    }

    /// Claims with their conditions.
    fn rules<'r>(&mut self, check: &str, rules: impl Iterator<Item = &'r ClaimRule>) {
        for rule in rules {
            let found = rule.path.find(self.claims).map(Json::to_value);
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

    fn provider(&mut self, it: &Requirements, own: &Provider, gateway: &Pipeline) {
        let accepted = it.providers.iter().map(|id| gateway.providers().name(*id));
        let accepted: Vec<_> = accepted.collect();
        if !accepted.is_empty() {
            let passes = accepted.contains(&own.name.as_str());
            self.is_one_of("provider, by the rule,", vec![own.name.clone()], passes, &accepted);
        }
    }

    fn scopes(&mut self, it: &Requirements) {
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

fn with(now: UnixTime, skew: Span) -> String {
    format!("now, {} and {} s of clock_skew_seconds", moment(now), skew.as_secs())
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
