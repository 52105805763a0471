//! The counters.

use std::rc::Rc;

use super::gauges::Gauges;
use super::series::{Kind, NameLabels, OTHERS, REQUESTS, Sample, Series};
use super::{Cache, CacheUse, RequestOutcome};
use crate::callout::{CalloutFailure, CalloutReply, Service};
use crate::denial::Code;
use crate::keys::AlgorithmSet;
use crate::time::UnixTime;
use crate::verdict::Mode;

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counter {
    Requests(RequestOutcome),
    Cache(Cache, CacheUse),
    Minted,
    /// Requests that ended with their token.
    Streams(Code),
    /// Signals, by kind.
    Signal(&'static str),
    /// By position of the service, and the result of the callout.
    Callouts(usize, &'static str),
}

/// The counts since the last [`Counters::take`].
#[derive(Debug)]
pub struct Counters {
    counters: Vec<(Counter, u64)>,
    /// The positions of those that are not 0: a native door takes them after each event.
    counted: Vec<usize>,
    services: NameLabels,
    /// Durations of callouts in milliseconds, by position of the service.
    callouts: Vec<(usize, u64)>,
    /// The durations of measured calls in microseconds.
    processing: Vec<u64>,
    /// The calls since the last measured one.
    unmeasured: u8,
    gauges: Gauges,
}

/// One of so many calls is measured: reading the clock is a call of the host, and not free
/// natively either.
const MEASURED: u8 = 64;

/// The results of callouts, see [`result`].
const RESULTS: [&str; 8] =
    ["2xx", "3xx", "4xx", "5xx", "other", "not_sent", "no_reply", "too_large"];

/// Why a forwarded request may end with its token.
const ENDS: [Code; 2] = [Code::TokenExpired, Code::TokenRevoked];

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
        CalloutReply::Failed(
            CalloutFailure::NoReply | CalloutFailure::Broken | CalloutFailure::Unreached(_),
        ) => "no_reply",
        CalloutReply::Failed(
            CalloutFailure::TooLarge { .. } | CalloutFailure::TooManyFields { .. },
        ) => "too_large",
    }
}

impl Counters {
    /// All zero, for a gateway with these services and these providers with fetched keys.
    pub fn new<'a>(
        mode: Mode,
        services: impl Iterator<Item = &'a Rc<Service>>,
        providers: impl Iterator<Item = &'a str>,
        signals: impl Iterator<Item = &'static str>,
        lists: impl Iterator<Item = (&'static str, bool)>,
        by_host: AlgorithmSet,
        ends_streams: bool,
    ) -> Self {
        use CacheUse::{Eviction, Hit, Miss, Stale};
        // The most frequent ones come first, since the list is searched from the start.
        let mut counters = vec![
            Counter::Cache(Cache::Token, Hit),
            Counter::Requests(RequestOutcome::Allowed),
            Counter::Requests(RequestOutcome::Bypassed),
            Counter::Requests(RequestOutcome::Anonymous),
            Counter::Requests(RequestOutcome::Jwks),
            Counter::Requests(RequestOutcome::Metadata),
            Counter::Requests(RequestOutcome::Revocation),
            Counter::Requests(RequestOutcome::Login),
            Counter::Cache(Cache::Token, Miss),
            Counter::Cache(Cache::Token, Eviction),
        ];
        counters.extend([Hit, Miss, Eviction].map(|it| Counter::Cache(Cache::Introspection, it)));
        counters.extend([Hit, Miss, Stale, Eviction].map(|it| Counter::Cache(Cache::UserInfo, it)));
        counters.push(Counter::Minted);
        counters.extend(signals.map(Counter::Signal));
        let services = NameLabels::new(services.map(|service| service.name.as_str()));
        for position in 0..services.labels.len() {
            counters.extend(RESULTS.map(|result| Counter::Callouts(position, result)));
        }
        let codes = || Code::ALL.iter().copied();
        counters.extend(codes().map(|code| Counter::Requests(RequestOutcome::Denied(code))));
        if mode == Mode::Shadow {
            counters.extend(codes().map(|code| Counter::Requests(RequestOutcome::Shadow(code))));
        }
        if ends_streams {
            counters.extend(ENDS.map(Counter::Streams));
        }
        Self {
            counters: counters.into_iter().map(|counter| (counter, 0)).collect(),
            counted: Vec::new(),
            services,
            callouts: Vec::new(),
            processing: Vec::new(),
            unmeasured: 0,
            gauges: Gauges::new(providers, lists, by_host),
        }
    }

    /// All series, in the order of their positions.
    pub fn series(&self) -> Vec<Series> {
        let counters = self.counters.iter().map(|(counter, _)| self.counter(*counter));
        let callouts = self.services.labels.iter().map(|service| {
            let name = "gatepass_callout_milliseconds";
            Series::new(Kind::Histogram, name, [("service", service)])
        });
        let processing = Series::new(Kind::Histogram, "gatepass_processing_microseconds", []);
        counters.chain(callouts).chain([processing]).chain(self.gauges.series()).collect()
    }

    fn counter(&self, counter: Counter) -> Series {
        match counter {
            Counter::Requests(outcome) => {
                let (outcome, code) = match outcome {
                    RequestOutcome::Allowed => ("allowed", "none"),
                    RequestOutcome::Anonymous => ("anonymous", "none"),
                    RequestOutcome::Bypassed => ("bypassed", "none"),
                    RequestOutcome::Jwks => ("jwks", "none"),
                    RequestOutcome::Metadata => ("metadata", "none"),
                    RequestOutcome::Revocation => ("revocation", "none"),
                    RequestOutcome::Login => ("login", "none"),
                    RequestOutcome::Denied(code) => ("denied", code.name()),
                    RequestOutcome::Shadow(code) => ("shadow", code.name()),
                };
                Series::new(Kind::Counter, REQUESTS, [("outcome", outcome), ("code", code)])
            }
            Counter::Cache(cache, used) => {
                let name = match used {
                    CacheUse::Hit => "gatepass_cache_hits_total",
                    CacheUse::Miss => "gatepass_cache_misses_total",
                    CacheUse::Stale => "gatepass_cache_stale_total",
                    CacheUse::Eviction => "gatepass_cache_evictions_total",
                };
                Series::new(Kind::Counter, name, [("cache", cache.name())])
            }
            Counter::Signal(kind) => {
                Series::new(Kind::Counter, "gatepass_events_total", [("event", kind)])
            }
            Counter::Minted => Series::new(Kind::Counter, "gatepass_minted_total", []),
            Counter::Streams(code) => {
                let labels = [("code", code.name())];
                Series::new(Kind::Counter, "gatepass_streams_ended_total", labels)
            }
            Counter::Callouts(position, result) => {
                let service = self.services.labels.get(position).map_or(OTHERS, String::as_str);
                let labels = [("service", service), ("result", result)];
                Series::new(Kind::Counter, "gatepass_fetches_total", labels)
            }
        }
    }

    /// Counts the end of a request.
    pub fn ended(&mut self, outcome: RequestOutcome) {
        self.add(Counter::Requests(outcome), 1);
    }

    /// Counts a use of a cache.
    pub fn cache(&mut self, cache: Cache, used: CacheUse) {
        self.add(Counter::Cache(cache, used), 1);
    }

    /// Counts evictions.
    pub fn evicted(&mut self, cache: Cache, entries: u64) {
        if entries > 0 {
            self.add(Counter::Cache(cache, CacheUse::Eviction), entries);
        }
    }

    /// Counts a signal of this kind.
    pub fn signal(&mut self, kind: &'static str) {
        self.add(Counter::Signal(kind), 1);
    }

    /// Counts a minted identity token.
    pub fn minted(&mut self) {
        self.add(Counter::Minted, 1);
    }

    /// Counts a forwarded request that ended with its token.
    pub fn stream_ended(&mut self, code: Code) {
        self.add(Counter::Streams(code), 1);
    }

    /// Counts a completed callout.
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

    /// A call for a request begins. True if this one is measured: one in 64 is.
    pub const fn begin_measurement(&mut self) -> bool {
        self.unmeasured = self.unmeasured.saturating_add(1);
        let is_measured = self.unmeasured >= MEASURED;
        if is_measured {
            self.unmeasured = 0;
        }
        is_measured
    }

    /// Records how long a measured call took.
    pub fn end_measurement(&mut self, micros: u64) {
        self.processing.push(micros);
    }

    /// The gauges.
    pub const fn gauges(&mut self) -> &mut Gauges {
        &mut self.gauges
    }

    fn add(&mut self, counter: Counter, amount: u64) {
        let mut counters = self.counters.iter_mut().enumerate();
        if let Some((position, (_, count))) = counters.find(|(_, (known, _))| *known == counter) {
            if *count == 0 {
                self.counted.push(position);
            }
            *count = count.saturating_add(amount);
        }
    }

    /// The samples for the host: all changes since the last call.
    pub fn take(&mut self) -> Vec<Sample> {
        self.counted.sort_unstable();
        let mut samples = Vec::with_capacity(self.counted.len());
        for position in self.counted.drain(..) {
            let Some((_, count)) = self.counters.get_mut(position) else { continue };
            samples.push((position, std::mem::take(count)));
        }
        let start = self.counters.len();
        let callouts = self.callouts.drain(..);
        samples.extend(callouts.map(|(service, took)| (start.saturating_add(service), took)));
        let start = start.saturating_add(self.services.labels.len());
        samples.extend(self.processing.drain(..).map(|took| (start, took)));
        samples.extend(self.gauges.take(start.saturating_add(1)));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callout::{Answer, Scheme};
    use crate::metrics::series::MAX_LABEL;
    use crate::time::Span;

    fn service(name: &str) -> Rc<Service> {
        Rc::new(Service {
            name: name.to_owned(),
            upstream: name.to_owned(),
            authority: name.to_owned(),
            scheme: Scheme::Http,
            timeout: Span::from_secs(1),
            headers: Vec::new(),
        })
    }

    fn counters(mode: Mode, services: &[Rc<Service>], providers: &[&str]) -> Counters {
        Counters::new(
            mode,
            services.iter(),
            providers.iter().copied(),
            ["logout"].into_iter(),
            [("revocations", true)].into_iter(),
            AlgorithmSet::EMPTY,
            false,
        )
    }

    /// In the format of Prometheus.
    fn text(series: &Series) -> String {
        let label = |(label, value): &(&str, String)| format!("{label}={value}");
        let labels: Vec<_> = series.labels.iter().map(label).collect();
        format!("{}{{{}}}", series.name, labels.join(","))
    }

    /// The samples of [`Counters::take`] by name, without the initial gauges.
    fn taken(counters: &mut Counters) -> Vec<(String, u64)> {
        let series = counters.series();
        let named = counters.take().into_iter().map(|(at, value)| (text(&series[at]), value));
        let initial = ["cache_bytes", "crypto_host", "revocation", "config", "signing", "build"];
        let initial = initial.map(|name| format!("gatepass_{name}"));
        named.filter(|(name, _)| !initial.iter().any(|it| name.starts_with(it.as_str()))).collect()
    }

    #[test]
    fn counts_are_given_once() {
        let users = service("users");
        let mut counters =
            counters(Mode::Enforce, &[service("auth"), Rc::clone(&users)], &["shop"]);
        counters.ended(RequestOutcome::Allowed);
        counters.ended(RequestOutcome::Allowed);
        counters.ended(RequestOutcome::Denied(Code::TokenMissing));
        counters.evicted(Cache::Token, 3);
        counters.evicted(Cache::UserInfo, 0);
        let answer = Answer {
            status: 404,
            cache_control: None,
            fields: crate::http::Fields::default(),
            body: vec![],
        };
        let (sent, now) = (UnixTime::from_millis(1000), UnixTime::from_millis(1012));
        counters.called(&users, &CalloutReply::Answer(answer), sent, now);
        let failed = CalloutReply::Failed(CalloutFailure::NoReply);
        counters.called(&users, &failed, now, sent);
        counters.gauges().keys_age("shop", Span::from_secs(7));
        let expected = [
            ("gatepass_requests_total{outcome=allowed,code=none}", 2),
            ("gatepass_cache_evictions_total{cache=token}", 3),
            ("gatepass_fetches_total{service=users,result=4xx}", 1),
            ("gatepass_fetches_total{service=users,result=no_reply}", 1),
            ("gatepass_requests_total{outcome=denied,code=token_missing}", 1),
            ("gatepass_callout_milliseconds{service=users}", 12),
            ("gatepass_callout_milliseconds{service=users}", 0),
            ("gatepass_jwks_age_seconds{provider=shop}", 7),
        ];
        assert_eq!(taken(&mut counters), expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(taken(&mut counters), []);
        counters.gauges().keys_age("shop", Span::from_secs(7));
        assert_eq!(taken(&mut counters), [], "a gauge that did not move");
        counters.gauges().retire();
        let age = "gatepass_jwks_age_seconds{provider=shop}".to_owned();
        assert_eq!(taken(&mut counters), [(age, 0)], "nobody is to be paged for it");
    }

    #[test]
    fn one_call_in_64_is_measured() {
        let mut counters = counters(Mode::Enforce, &[], &[]);
        let measured: Vec<_> = (1..=200).filter(|_| counters.begin_measurement()).collect();
        assert_eq!(measured, [64, 128, 192]);
        counters.end_measurement(7);
        counters.end_measurement(9);
        let name = "gatepass_processing_microseconds{}".to_owned();
        assert_eq!(taken(&mut counters), [(name.clone(), 7), (name, 9)]);
        assert_eq!(taken(&mut counters), []);
    }

    #[test]
    fn names_are_plain_short_and_bounded_in_number() {
        let odd = ["a.b", "a_b", "outcome.x", "ü\n", &"long".repeat(100)].map(service);
        let many: Vec<_> = (0..500).map(|number| service(&format!("s{number}"))).collect();
        let providers: Vec<String> = (0..500).map(|number| format!("p{number}")).collect();
        let providers: Vec<&str> = providers.iter().map(String::as_str).collect();
        for services in [&odd[..], &many[..], &[]] {
            let mut counters = counters(Mode::Shadow, services, &providers);
            let series = counters.series();
            assert!(series.len() < 1000, "{}", series.len());
            for (position, one) in series.iter().enumerate() {
                assert!(!series[..position].contains(one), "{one:?}");
                let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
                for (label, value) in &one.labels {
                    assert!(value.len() <= MAX_LABEL, "{one:?}");
                    assert!(label.bytes().chain(value.bytes()).all(is_plain), "{one:?}");
                }
            }
            // Names without a series of their own are counted, but not under another
            // name.
            let failed = CalloutReply::Failed(CalloutFailure::NotSent);
            let now = UnixTime::from_secs(1);
            counters.called(&service("s499"), &failed, now, now);
            counters.gauges().keys_age("p499", Span::from_secs(1));
            let name = "gatepass_fetches_total{service=others,result=not_sent}";
            let counted: Vec<_> = taken(&mut counters).into_iter().map(|(name, _)| name).collect();
            let age = "gatepass_jwks_age_seconds{provider=others}";
            let callout = "gatepass_callout_milliseconds{service=others}";
            let expected: &[&str] =
                if services.len() == 500 { &[name, callout, age] } else { &[age] };
            assert_eq!(counted, expected);
        }
    }

    #[test]
    fn shadow_has_series_in_shadow_mode_only() {
        for (mode, expected) in [(Mode::Enforce, 0), (Mode::Shadow, Code::ALL.len())] {
            let series = counters(mode, &[], &[]).series();
            let shadow = series
                .iter()
                .filter(|series| series.labels.contains(&("outcome", "shadow".to_owned())));
            assert_eq!(shadow.count(), expected, "{mode:?}");
        }
    }
}
