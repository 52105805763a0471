//! Envoy's metrics: defined with the configuration, then updated on the main thread from
//! the gateways' samples.

use std::collections::HashMap;

use gatepass::metrics::{self, Sample, Series};

use crate::abi::{Config, Kind, Metric};

/// Every metric name a gateway can use, with its labels. Envoy accepts no new names once
/// a configuration is created, and a route's configuration may count things that the
/// listener's does not.
const FAMILIES: [(Kind, &str, &[&str]); 15] = [
    (Kind::Counter, "gatepass_requests_total", &["outcome", "code"]),
    (Kind::Counter, "gatepass_cache_hits_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_misses_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_stale_total", &["cache"]),
    (Kind::Counter, "gatepass_cache_evictions_total", &["cache"]),
    (Kind::Counter, "gatepass_minted_total", &[]),
    (Kind::Counter, "gatepass_streams_ended_total", &["code"]),
    (Kind::Counter, "gatepass_events_total", &["event"]),
    (Kind::Counter, "gatepass_fetches_total", &["service", "result"]),
    (Kind::Histogram, "gatepass_callout_milliseconds", &["service"]),
    (Kind::Gauge, "gatepass_jwks_age_seconds", &["provider"]),
    (Kind::Gauge, "gatepass_crypto_host", &["algorithm"]),
    (Kind::Gauge, "gatepass_revocation_entries", &["list"]),
    (Kind::Gauge, "gatepass_revocation_age_seconds", &["list"]),
    (Kind::Counter, PANICS, &[]),
];

const PANICS: &str = "gatepass_panics_total";

/// The metrics of one filter configuration.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    families: HashMap<&'static str, Metric>,
    /// By the plan of the gateways, in the order of the core's series.
    series: HashMap<u64, Vec<Option<Known>>>,
}

/// A series known to Envoy: its metric and the values of its labels.
type Known = (Metric, Vec<String>);

impl Metrics {
    /// Must be called while the configuration is created.
    pub(crate) fn define(config: &Config<'_>) -> Self {
        let families = FAMILIES
            .iter()
            .filter_map(|(kind, name, labels)| Some((*name, config.define(*kind, name, labels)?)));
        let metrics = Self { families: families.collect(), series: HashMap::new() };
        metrics.panicked(config, 0);
        metrics
    }

    /// Creates all counters of a plan at zero: Prometheus misses the first event of a
    /// counter that appears with it.
    pub(crate) fn add(&mut self, config: &Config<'_>, plan: u64, series: &[Series]) {
        let known: Vec<_> = series.iter().map(|series| self.find(series)).collect();
        for (series, (metric, values)) in
            series.iter().zip(&known).filter_map(|(series, known)| Some((series, known.as_ref()?)))
        {
            if series.kind != metrics::Kind::Histogram {
                config.measure(*metric, &texts(values), 0);
            }
        }
        self.series.insert(plan, known);
    }

    pub(crate) fn remove(&mut self, plan: u64) {
        self.series.remove(&plan);
    }

    /// Forwards samples to Envoy.
    pub(crate) fn feed(&self, config: &Config<'_>, plan: u64, samples: &[Sample]) {
        let Some(series) = self.series.get(&plan) else { return };
        let mut sums: HashMap<usize, u64> = HashMap::new();
        for (position, amount) in samples {
            let Some(Some((metric, values))) = series.get(*position) else { continue };
            if metric.kind() == Kind::Counter {
                let sum = sums.entry(*position).or_default();
                *sum = sum.saturating_add(*amount);
            } else {
                config.measure(*metric, &texts(values), *amount);
            }
        }
        for (position, sum) in sums {
            if let Some(Some((metric, values))) = series.get(position) {
                config.measure(*metric, &texts(values), sum);
            }
        }
    }

    /// Counts panicked hooks.
    pub(crate) fn panicked(&self, config: &Config<'_>, times: u64) {
        if let Some(metric) = self.families.get(PANICS) {
            config.measure(*metric, &[], times);
        }
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
    use super::*;

    /// A name that the core uses and that is missing here would be counted but never
    /// shown.
    #[test]
    fn every_name_of_the_core_is_a_family() {
        let source = include_str!("../../../src/metrics/counters.rs");
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let names = source.split("\"gatepass_").skip(1).filter_map(|rest| rest.split('"').next());
        let mut found = 0;
        for name in names {
            found += 1;
            let known =
                FAMILIES.iter().any(|(_, known, _)| known.strip_prefix("gatepass_") == Some(name));
            assert!(known, "gatepass_{name}");
        }
        assert!(found >= 13, "{found} names in the source");
    }
}
