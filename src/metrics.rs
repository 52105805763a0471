//! What operators count: requests and how they ended, caches, callouts, keys.
//!
//! The core counts in plain memory; the adapter defines every series once and
//! hands on what has gathered at each tick. So counting costs a request no call
//! of the host, and no more than 100 ms of it are lost with a VM.
//!
//! The number of series is bounded: labels are codes, words of this module, and
//! names from the configuration, of which the first [`MAX_NAMED`] count by
//! themselves and the others together. Nothing a client sends becomes a label.

use std::fmt::Write as _;
use std::rc::Rc;

use crate::callout::{CalloutFailure, CalloutReply, Service};
use crate::denial::Code;
use crate::keys::{Algorithm, AlgorithmSet};
use crate::time::{Span, UnixTime};
use crate::verdict::Mode;

/// How many services, and how many providers, have series of their own. A host
/// has a fixed memory for metrics, and some trap when it is full.
pub const MAX_NAMED: usize = 64;

/// The name under which those beyond [`MAX_NAMED`] are counted together.
const OTHERS: &str = "others";

/// The longest part of a name that becomes a label.
const MAX_LABEL: usize = 64;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Forwarded with an identity.
    Allowed,
    /// Forwarded as the anonymous consumer.
    Anonymous,
    /// Forwarded without identity, by a rule or as a CORS preflight.
    Bypassed,
    /// Answered with the gateway's key set.
    Jwks,
    /// Answered by the endpoint that takes revocations, other than by a denial.
    Revocation,
    /// Answered with what a login's service said, or refused before it was asked.
    Login,
    /// Denied.
    Denied(Code),
    /// Forwarded without identity, since the mode is shadow; else denied.
    Shadow(Code),
}

/// The caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Verified tokens.
    Token,
    /// Answers about users.
    UserInfo,
    /// What was decided on reference tokens.
    Introspection,
}

/// What a cache was good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// It had what was asked for.
    Hit,
    /// It had not, or no longer.
    Miss,
    /// It had it, no longer current, and it served all the same.
    Stale,
    /// It forgot something that was current, for want of room.
    Eviction,
}

/// A number that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    Requests(Ending),
    Cache(Cache, CacheUse),
    Minted,
    /// By position of the service, and what came of the callout.
    Callouts(usize, &'static str),
}

/// What kind of series it is, for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be increased only.
    Counter,
    /// To be set only.
    Gauge,
    /// To be given single values only.
    Histogram,
}

/// One series: what the host is to define.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its kind.
    pub kind: Kind,
    /// Its name, with `.label.value` for each label, at most 200 bytes of
    /// letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// Something for the host: the position of a series, and an amount to add, a
/// value to set or one to record.
pub type Reading = (usize, u64);

/// The counts since the last [`Tally::take`].
#[derive(Debug)]
pub struct Tally {
    counters: Vec<(Counter, u64)>,
    services: Labels,
    /// Milliseconds that callouts took, by position of the service.
    callouts: Vec<(usize, u64)>,
    providers: Labels,
    /// What a gauge says, and whether the host knows.
    gauges: Vec<(String, u64, bool)>,
}

/// Names from the configuration, as labels: each name with the position of its
/// label, which it may share.
#[derive(Debug, Default)]
struct Labels {
    names: Vec<(String, usize)>,
    labels: Vec<String>,
}

impl Labels {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in names {
            let own = if all.labels.len() < MAX_NAMED { label(name) } else { OTHERS.to_owned() };
            let known = all.labels.iter().position(|other| *other == own);
            let position = known.unwrap_or(all.labels.len());
            if known.is_none() {
                all.labels.push(own);
            }
            all.names.push((name.to_owned(), position));
        }
        all
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, position)| *position)
    }
}

/// A name in the characters that every host and label pattern takes: a dot
/// would begin another label.
fn label(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' };
    name.chars().take(MAX_LABEL).map(plain).collect()
}

const REQUESTS: &str = "gatepass_requests_total";

/// The series of a denial, for a filter that has no gateway.
pub fn denials(code: Code) -> Series {
    Series { kind: Kind::Counter, name: format!("{REQUESTS}.outcome.denied.code.{code}") }
}

/// What can come of a callout, see [`result`].
const RESULTS: [&str; 8] =
    ["2xx", "3xx", "4xx", "5xx", "other", "not_sent", "no_reply", "too_large"];

const fn result(reply: &CalloutReply) -> &'static str {
    match reply {
        CalloutReply::Answer(answer) => match answer.status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        },
        CalloutReply::Failed(CalloutFailure::NotSent) => "not_sent",
        CalloutReply::Failed(CalloutFailure::NoReply | CalloutFailure::Broken) => "no_reply",
        CalloutReply::Failed(
            CalloutFailure::TooLarge { .. } | CalloutFailure::TooManyFields { .. },
        ) => "too_large",
    }
}

impl Tally {
    /// Nothing counted yet, for a gateway with these services and these
    /// providers whose keys are fetched.
    pub fn new<'a>(
        mode: Mode,
        services: impl Iterator<Item = &'a Rc<Service>>,
        providers: impl Iterator<Item = &'a str>,
        by_host: AlgorithmSet,
    ) -> Self {
        use CacheUse::{Eviction, Hit, Miss, Stale};
        // What is counted most comes first, since that is how it is found.
        let mut counters = vec![
            Counter::Cache(Cache::Token, Hit),
            Counter::Requests(Ending::Allowed),
            Counter::Requests(Ending::Bypassed),
            Counter::Requests(Ending::Anonymous),
            Counter::Requests(Ending::Jwks),
            Counter::Requests(Ending::Revocation),
            Counter::Requests(Ending::Login),
            Counter::Cache(Cache::Token, Miss),
            Counter::Cache(Cache::Token, Eviction),
        ];
        counters.extend([Hit, Miss, Eviction].map(|it| Counter::Cache(Cache::Introspection, it)));
        counters.extend([Hit, Miss, Stale, Eviction].map(|it| Counter::Cache(Cache::UserInfo, it)));
        counters.push(Counter::Minted);
        let services = Labels::new(services.map(|service| service.name.as_str()));
        for position in 0..services.labels.len() {
            counters.extend(RESULTS.map(|result| Counter::Callouts(position, result)));
        }
        let codes = || Code::ALL.iter().copied();
        counters.extend(codes().map(|code| Counter::Requests(Ending::Denied(code))));
        if mode == Mode::Shadow {
            counters.extend(codes().map(|code| Counter::Requests(Ending::Shadow(code))));
        }
        let providers = Labels::new(providers);
        let age = |label| (format!("gatepass_jwks_age_seconds.provider.{label}"), 0, true);
        let mut gauges: Vec<_> = providers.labels.iter().map(age).collect();
        gauges.extend(Algorithm::ALL.into_iter().map(|algorithm| {
            let name = format!("gatepass_crypto_host.algorithm.{algorithm}");
            (name, by_host.contains(algorithm).into(), false)
        }));
        Self {
            counters: counters.into_iter().map(|counter| (counter, 0)).collect(),
            services,
            callouts: Vec::new(),
            providers,
            gauges,
        }
    }

    /// Every series, in the order of their positions.
    pub fn series(&self) -> Vec<Series> {
        let series = |kind, name| Series { kind, name };
        let counters = self.counters.iter().map(|(counter, _)| self.name(*counter));
        let callout = |label| format!("gatepass_callout_milliseconds.service.{label}");
        let callouts = self.services.labels.iter().map(callout);
        let gauges = self.gauges.iter().map(|(name, ..)| name.clone());
        counters
            .map(|name| series(Kind::Counter, name))
            .chain(callouts.map(|name| series(Kind::Histogram, name)))
            .chain(gauges.map(|name| series(Kind::Gauge, name)))
            .collect()
    }

    fn name(&self, counter: Counter) -> String {
        let mut name = String::new();
        let written = match counter {
            Counter::Requests(ending) => {
                let (outcome, code) = match ending {
                    Ending::Allowed => ("allowed", "none"),
                    Ending::Anonymous => ("anonymous", "none"),
                    Ending::Bypassed => ("bypassed", "none"),
                    Ending::Jwks => ("jwks", "none"),
                    Ending::Revocation => ("revocation", "none"),
                    Ending::Login => ("login", "none"),
                    Ending::Denied(code) => ("denied", code.name()),
                    Ending::Shadow(code) => ("shadow", code.name()),
                };
                write!(name, "{REQUESTS}.outcome.{outcome}.code.{code}")
            }
            Counter::Cache(cache, used) => {
                let cache = match cache {
                    Cache::Token => "token",
                    Cache::UserInfo => "user_info",
                    Cache::Introspection => "introspection",
                };
                let what = match used {
                    CacheUse::Hit => "hits",
                    CacheUse::Miss => "misses",
                    CacheUse::Stale => "stale",
                    CacheUse::Eviction => "evictions",
                };
                write!(name, "gatepass_cache_{what}_total.cache.{cache}")
            }
            Counter::Minted => write!(name, "gatepass_minted_total"),
            Counter::Callouts(position, result) => {
                let service = self.services.labels.get(position).map_or(OTHERS, String::as_str);
                write!(name, "gatepass_fetches_total.service.{service}.result.{result}")
            }
        };
        // Writing to a String cannot fail.
        let _ = written;
        name
    }

    /// A request ended.
    pub fn ended(&mut self, ending: Ending) {
        self.add(Counter::Requests(ending), 1);
    }

    /// A cache was used.
    pub fn cache(&mut self, cache: Cache, used: CacheUse) {
        self.add(Counter::Cache(cache, used), 1);
    }

    /// A cache lost so many entries for want of room.
    pub fn evicted(&mut self, cache: Cache, entries: u64) {
        self.add(Counter::Cache(cache, CacheUse::Eviction), entries);
    }

    /// An identity token was minted.
    pub fn minted(&mut self) {
        self.add(Counter::Minted, 1);
    }

    /// A callout is over.
    pub fn called(
        &mut self,
        service: &Service,
        reply: &CalloutReply,
        sent: UnixTime,
        now: UnixTime,
    ) {
        let Some(service) = self.services.position(&service.name) else { return };
        self.add(Counter::Callouts(service, result(reply)), 1);
        let took = now.since(sent).as_millis();
        self.callouts.push((service, u64::try_from(took).unwrap_or(0)));
    }

    /// How old the keys of a provider are.
    pub fn keys_age(&mut self, provider: &str, age: Span) {
        let Some(position) = self.providers.position(provider) else { return };
        let seconds = u64::try_from(age.as_secs()).unwrap_or(0);
        if let Some((_, value, told)) = self.gauges.get_mut(position) {
            *told &= *value == seconds;
            *value = seconds;
        }
    }

    /// Takes the ages of all keys back: nobody fetches them here any more, and
    /// the host keeps a gauge for as long as it runs.
    pub fn retire(&mut self) {
        for label in 0..self.providers.labels.len() {
            if let Some((_, value, told)) = self.gauges.get_mut(label) {
                (*value, *told) = (0, false);
            }
        }
    }

    fn add(&mut self, counter: Counter, amount: u64) {
        if let Some((_, count)) = self.counters.iter_mut().find(|(known, _)| *known == counter) {
            *count = count.saturating_add(amount);
        }
    }

    /// What to hand to the host: everything since the last call.
    pub fn take(&mut self) -> Vec<Reading> {
        let mut readings = Vec::new();
        for (position, (_, count)) in self.counters.iter_mut().enumerate() {
            if *count > 0 {
                readings.push((position, std::mem::take(count)));
            }
        }
        let start = self.counters.len();
        let callouts = self.callouts.drain(..);
        readings.extend(callouts.map(|(service, took)| (start.saturating_add(service), took)));
        let start = start.saturating_add(self.services.labels.len());
        for (position, (_, value, told)) in self.gauges.iter_mut().enumerate() {
            if !std::mem::replace(told, true) {
                readings.push((start.saturating_add(position), *value));
            }
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::{Answer, Scheme};

    fn service(name: &str) -> Rc<Service> {
        Rc::new(Service {
            name: name.to_owned(),
            upstream: name.to_owned(),
            authority: name.to_owned(),
            scheme: Scheme::Http,
            timeout: Span::from_secs(1),
        })
    }

    fn tally(mode: Mode, services: &[Rc<Service>], providers: &[&str]) -> Tally {
        Tally::new(mode, services.iter(), providers.iter().copied(), AlgorithmSet::EMPTY)
    }

    /// What [`Tally::take`] gives, by name; the gauges of the start aside.
    fn taken(tally: &mut Tally) -> Vec<(String, u64)> {
        let series = tally.series();
        let named = tally.take().into_iter().map(|(at, value)| (series[at].name.clone(), value));
        named.filter(|(name, _)| !name.starts_with("gatepass_crypto_host")).collect()
    }

    #[test]
    fn counts_are_given_once() {
        let users = service("users");
        let mut tally = tally(Mode::Enforce, &[service("auth"), Rc::clone(&users)], &["shop"]);
        tally.ended(Ending::Allowed);
        tally.ended(Ending::Allowed);
        tally.ended(Ending::Denied(Code::TokenMissing));
        tally.evicted(Cache::Token, 3);
        tally.evicted(Cache::UserInfo, 0);
        let answer = Answer {
            status: 404,
            cache_control: None,
            fields: crate::http::Fields::default(),
            body: vec![],
        };
        let (sent, now) = (UnixTime::from_millis(1000), UnixTime::from_millis(1012));
        tally.called(&users, &CalloutReply::Answer(answer), sent, now);
        let failed = CalloutReply::Failed(CalloutFailure::NoReply);
        tally.called(&users, &failed, now, sent);
        tally.keys_age("shop", Span::from_secs(7));
        let expected = [
            ("gatepass_requests_total.outcome.allowed.code.none", 2),
            ("gatepass_cache_evictions_total.cache.token", 3),
            ("gatepass_fetches_total.service.users.result.4xx", 1),
            ("gatepass_fetches_total.service.users.result.no_reply", 1),
            ("gatepass_requests_total.outcome.denied.code.token_missing", 1),
            ("gatepass_callout_milliseconds.service.users", 12),
            ("gatepass_callout_milliseconds.service.users", 0),
            ("gatepass_jwks_age_seconds.provider.shop", 7),
        ];
        assert_eq!(taken(&mut tally), expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(taken(&mut tally), []);
        tally.keys_age("shop", Span::from_secs(7));
        assert_eq!(taken(&mut tally), [], "a gauge that did not move");
        tally.retire();
        let age = "gatepass_jwks_age_seconds.provider.shop".to_owned();
        assert_eq!(taken(&mut tally), [(age, 0)], "nobody is to be paged for it");
    }

    #[test]
    fn names_are_plain_short_and_bounded_in_number() {
        let odd = ["a.b", "a_b", "outcome.x", "ü\n", &"long".repeat(100)].map(service);
        let many: Vec<_> = (0..500).map(|number| service(&format!("s{number}"))).collect();
        let providers: Vec<String> = (0..500).map(|number| format!("p{number}")).collect();
        let providers: Vec<&str> = providers.iter().map(String::as_str).collect();
        for services in [&odd[..], &many[..], &[]] {
            let mut tally = tally(Mode::Shadow, services, &providers);
            let series = tally.series();
            assert!(series.len() < 1000, "{}", series.len());
            for (position, Series { name, .. }) in series.iter().enumerate() {
                assert!(!series[..position].iter().any(|other| other.name == *name), "{name}");
                assert!(name.len() <= 200, "{name}");
                let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
                assert!(name.bytes().all(is_plain), "{name}");
                // Each label is followed by its value.
                assert_eq!(name.split('.').count() % 2, 1, "{name}");
            }
            // What has no series of its own counts, and never for another.
            let failed = CalloutReply::Failed(CalloutFailure::NotSent);
            let now = UnixTime::from_secs(1);
            tally.called(&service("s499"), &failed, now, now);
            tally.keys_age("p499", Span::from_secs(1));
            let name = "gatepass_fetches_total.service.others.result.not_sent";
            let counted: Vec<_> = taken(&mut tally).into_iter().map(|(name, _)| name).collect();
            let age = "gatepass_jwks_age_seconds.provider.others";
            let callout = "gatepass_callout_milliseconds.service.others";
            let expected: &[&str] =
                if services.len() == 500 { &[name, callout, age] } else { &[age] };
            assert_eq!(counted, expected);
        }
    }

    #[test]
    fn shadow_has_series_in_shadow_mode_only() {
        for (mode, expected) in [(Mode::Enforce, 0), (Mode::Shadow, Code::ALL.len())] {
            let series = tally(mode, &[], &[]).series();
            let shadow = series.iter().filter(|series| series.name.contains("outcome.shadow"));
            assert_eq!(shadow.count(), expected, "{mode:?}");
        }
    }
}
