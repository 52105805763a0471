//! Envoy's metrics: defined with the configuration, then updated on the main thread from
//! the gateways' samples.

use std::cell::Cell;
use std::collections::HashMap;

use gatepass::denial::Code;
use gatepass::metrics::{self, Sample, Series};

use crate::abi::{Config, Kind, Metric};

/// Every metric name a gateway can use, with its labels. Envoy accepts no new names once
/// a configuration is created, and a route's configuration may count things that the
/// listener's does not.
const FAMILIES: [(Kind, &str, &[&str]); 22] = [
    (Kind::Counter, REQUESTS, &["outcome", "code"]),
    (Kind::Counter, "gatepass_cache_hits_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_misses_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_stale_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_evictions_total", &["cache"]),
    (Kind::Counter, "gatepass_minted_total", &[]),
    (Kind::Counter, "gatepass_streams_ended_total", &["code"]),
    (Kind::Counter, "gatepass_events_total", &["event"]),
    (Kind::Counter, "gatepass_fetches_total", &["service", "result"]),
    (Kind::Histogram, "gatepass_callout_milliseconds", &["service"]),
    (Kind::Histogram, "gatepass_processing_microseconds", &[]),
    (Kind::Gauge, "gatepass_jwks_age_seconds", &["provider"]),
    (Kind::Gauge, "gatepass_cache_bytes", &["cache"]),
    (Kind::Gauge, "gatepass_crypto_host", &["algorithm"]),
    (Kind::Gauge, "gatepass_revocation_entries", &["list"]),
    (Kind::Gauge, "gatepass_revocation_age_seconds", &["list"]),
    (Kind::Gauge, "gatepass_config_hash", &[]),
    (Kind::Gauge, "gatepass_signing_key_change_timestamp_seconds", &[]),
    (Kind::Gauge, "gatepass_signing_key_end_timestamp_seconds", &[]),
    (Kind::Gauge, "gatepass_build_info", &["version", "arch"]),
    (Kind::Counter, PANICS, &[]),
    (Kind::Counter, REUSED, &[]),
];

const REQUESTS: &str = "gatepass_requests_total";
const PANICS: &str = "gatepass_panics_total";
const REUSED: &str = "gatepass_signatures_reused_total";

/// The metrics of one filter configuration.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    families: HashMap<&'static str, Metric>,
    /// By the snapshot of the gateways, in the order of the core's series.
    series: HashMap<u64, Vec<Option<Known>>>,
    /// Envoy has refused a value: it is logged once.
    refused: Cell<bool>,
}

/// A series known to Envoy: its metric and the values of its labels.
type Known = (Metric, Vec<String>);

impl Metrics {
    /// Must be called while the configuration is created.
    pub(crate) fn define(config: &Config<'_>) -> Self {
        let mut metrics = Self::default();
        for (kind, name, labels) in FAMILIES {
            match config.define(kind, name, labels) {
                Some(metric) => {
                    metrics.families.insert(name, metric);
                }
                None => log::warn!("Envoy refuses the metric {name}"),
            }
        }
        metrics.unconfigured(config, 0);
        metrics.panicked(config, 0);
        metrics.reused(config, 0);
        metrics
    }

    /// Creates all counters of a snapshot at zero: Prometheus misses the first event of a
    /// counter that appears with it.
    pub(crate) fn add(&mut self, config: &Config<'_>, snapshot: u64, series: &[Series]) {
        let known: Vec<_> = series.iter().map(|series| self.find(series)).collect();
        for (series, (metric, values)) in
            series.iter().zip(&known).filter_map(|(series, known)| Some((series, known.as_ref()?)))
        {
            if series.kind != metrics::Kind::Histogram {
                self.measure(config, *metric, &texts(values), 0);
            }
        }
        self.series.insert(snapshot, known);
    }

    pub(crate) fn remove(&mut self, snapshot: u64) {
        self.series.remove(&snapshot);
    }

    /// Forwards samples to Envoy.
    pub(crate) fn feed(&self, config: &Config<'_>, snapshot: u64, samples: &[Sample]) {
        let Some(series) = self.series.get(&snapshot) else { return };
        let mut sums: HashMap<usize, u64> = HashMap::new();
        for (position, amount) in samples {
            let Some(Some((metric, values))) = series.get(*position) else { continue };
            if metric.kind() == Kind::Counter {
                let sum = sums.entry(*position).or_default();
                *sum = sum.saturating_add(*amount);
            } else {
                self.measure(config, *metric, &texts(values), *amount);
            }
        }
        for (position, sum) in sums {
            if let Some(Some((metric, values))) = series.get(position) {
                self.measure(config, *metric, &texts(values), sum);
            }
        }
    }

    /// Counts requests that were denied because there is no gateway for them.
    pub(crate) fn unconfigured(&self, config: &Config<'_>, times: u64) {
        let labels = ["denied", Code::ConfigurationInvalid.name()];
        self.count(config, REQUESTS, &labels, times);
    }

    /// Counts panicked hooks.
    pub(crate) fn panicked(&self, config: &Config<'_>, times: u64) {
        self.count(config, PANICS, &[], times);
    }

    /// Counts signatures that did not have to be verified again.
    pub(crate) fn reused(&self, config: &Config<'_>, times: u64) {
        self.count(config, REUSED, &[], times);
    }

    /// Counts for the process, not for a gateway.
    fn count(&self, config: &Config<'_>, name: &str, labels: &[&str], times: u64) {
        if let Some(metric) = self.families.get(name) {
            self.measure(config, *metric, labels, times);
        }
    }

    /// Requests do not depend on it whether Envoy takes a value.
    fn measure(&self, config: &Config<'_>, metric: Metric, labels: &[&str], amount: u64) {
        if config.measure(metric, labels, amount) || self.refused.replace(true) {
            return;
        }
        let name = self.families.iter().find(|(_, known)| **known == metric);
        log::warn!("Envoy refuses a value of {}", name.map_or("a metric", |(name, _)| *name));
    }

    /// The metric of a series and its labels' values.
    fn find(&self, series: &Series) -> Option<Known> {
        let metric = *self.families.get(series.name)?;
        Some((metric, series.labels.iter().map(|(_, value)| value.clone()).collect()))
    }
}

fn texts(values: &[String]) -> Vec<&str> {
    values.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::snapshot::ConfigSnapshot;

    /// Envoy refuses values with other labels, or for another kind of metric.
    #[test]
    fn every_family_is_one_of_the_core_with_its_kind_and_labels() {
        let service = |name| json!({"upstream": name, "authority": name, "timeout_ms": 500});
        let configuration = json!({
            "services": {"auth": service("auth"), "users": service("users")},
            "providers": {"shop": {
                "issuer": "https://auth.shop.example", "audiences": ["shop-api"],
                "algorithms": ["ES256"],
                "remote_jwks": {"service": "auth", "path": "/jwks"},
            }},
            "user_info": {"service": "users", "path": "/users/{sub}"},
            "revocation": {
                "feed": {"service": "auth", "path": "/revoked"},
                "endpoint": {"path": "/revoke", "requires": {"scopes_all": ["revoke"]}},
                "events": {"transmitters": [
                    {"issuer": "https://events.example", "audiences": ["gateway"],
                        "remote_jwks": {"service": "auth", "path": "/jwks"}},
                ]},
            },
            "limits": {"end_streams": true},
            "identity_token": {
                "issuer": "https://gateway.example", "audiences": ["services"],
                "signing_keys": [{"algorithm": "ES256", "private_key": {
                    // RFC 7515 appendix A.3.1.
                    "kty": "EC", "crv": "P-256",
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
                }}],
            },
        });
        let configuration = configuration.to_string();
        crate::snapshot::load(configuration.as_bytes()).expect("it is valid");
        let snapshot = ConfigSnapshot::new(configuration.as_bytes()).expect("it is valid");
        let counted = snapshot.gateway(None).expect("there is randomness").metrics();
        let counted: BTreeSet<_> = counted
            .iter()
            .map(|series| {
                let labels: Vec<_> = series.labels.iter().map(|(label, _)| *label).collect();
                (series.name, format!("{:?}", series.kind), labels)
            })
            .collect();
        let known: BTreeSet<_> = FAMILIES
            .iter()
            .filter(|(_, name, _)| ![PANICS, REUSED].contains(name))
            .map(|(kind, name, labels)| (*name, format!("{kind:?}"), labels.to_vec()))
            .collect();
        assert_eq!(known, counted);
    }

    /// A name that the core uses and that is missing here would be counted but never
    /// shown.
    #[test]
    fn every_metric_is_a_family_and_has_a_text() {
        let texts: BTreeSet<_> = metrics::HELP.iter().map(|(name, _)| *name).collect();
        let names: BTreeSet<_> = FAMILIES.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(names, texts);
        let (counters, gauges) = (
            include_str!("../../../src/metrics/counters.rs"),
            include_str!("../../../src/metrics/gauges.rs"),
        );
        let mut found = 0;
        for source in [counters, gauges] {
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for rest in source.split("\"gatepass_").skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                found += 1;
                assert!(names.contains(format!("gatepass_{name}").as_str()), "gatepass_{name}");
            }
        }
        assert!(found >= 17, "{found} names in the source");
    }
}
