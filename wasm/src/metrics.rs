//! The host's metrics: defined once, then updated with the core's samples.

use gatepass::metrics::{Sample, Series};

use crate::host::{Host, Metric};

/// The metrics of one plugin, in the order of the core's series.
pub(crate) struct Metrics {
    host: Host,
    metrics: Vec<Option<Metric>>,
}

impl Metrics {
    /// Defines every series. A series that the host rejects is not counted.
    pub(crate) fn define(host: Host, series: &[Series]) -> Self {
        let mut metrics: Vec<Option<Metric>> = Vec::with_capacity(series.len());
        for series in series {
            let metric = define(host, series);
            // Two names with the same hash: counting both would mix them up, and trap if
            // their kinds differ.
            let is_taken =
                metric.is_some_and(|metric| metrics.iter().flatten().any(|other| other.is(metric)));
            metrics.push(metric.filter(|_| !is_taken));
        }
        Self { host, metrics }
    }

    /// Forwards samples to the host.
    pub(crate) fn feed(&self, samples: &[Sample]) {
        for (position, amount) in samples {
            if let Some(Some(metric)) = self.metrics.get(*position) {
                self.host.measure(*metric, *amount);
            }
        }
    }
}

/// Defines one series, if the host accepts it. A name has 200 bytes at most: ngx_wasm_module
/// takes 256 with its own prefix, and traps on a longer one.
pub(crate) fn define(host: Host, series: &Series) -> Option<Metric> {
    host.define(series.kind, &flattened(series))
}

/// A name with `.label.value` for each label, from which operators of both hosts can
/// extract labels: proxy-wasm has none.
fn flattened(series: &Series) -> String {
    let mut name = series.name.to_owned();
    for (label, value) in &series.labels {
        for part in [label, value.as_str()] {
            name.push('.');
            name.push_str(part);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use gatepass::callout::{Scheme, Service};
    use gatepass::denial::Code;
    use gatepass::keys::AlgorithmSet;
    use gatepass::metrics::{Counters, denials};
    use gatepass::time::Span;
    use gatepass::verdict::Mode;

    #[test]
    fn names_are_what_operators_relabel() {
        let service = |name: &str| {
            Rc::new(Service {
                name: name.to_owned(),
                upstream: name.to_owned(),
                authority: name.to_owned(),
                scheme: Scheme::Http,
                timeout: Span::from_secs(1),
                headers: Vec::new(),
            })
        };
        let services = [service("us.ers"), service(&"long".repeat(100))];
        let counters = Counters::new(
            Mode::Shadow,
            services.iter(),
            ["shop", &*"long".repeat(100)].into_iter(),
            ["logout", "session-revoked"].into_iter(),
            [("revocations", true), ("allowlist", true)].into_iter(),
            AlgorithmSet::EMPTY,
            true,
        );
        let names: Vec<_> = counters.series().iter().map(flattened).collect();
        for (position, name) in names.iter().enumerate() {
            assert!(!names[..position].contains(name), "{name}");
            assert!(name.len() <= 200, "{name}");
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            assert!(name.bytes().all(is_plain), "{name}");
            // Each label is followed by its value.
            assert_eq!(name.split('.').count() % 2, 1, "{name}");
        }
        for expected in [
            "gatepass_requests_total.outcome.allowed.code.none",
            "gatepass_requests_total.outcome.denied.code.token_missing",
            "gatepass_requests_total.outcome.shadow.code.token_missing",
            "gatepass_cache_hits_total.cache.token",
            "gatepass_cache_misses_total.cache.introspection",
            "gatepass_cache_stale_total.cache.user_info",
            "gatepass_cache_evictions_total.cache.token",
            "gatepass_minted_total",
            "gatepass_fetches_total.service.us_ers.result.4xx",
            "gatepass_callout_milliseconds.service.us_ers",
            "gatepass_jwks_age_seconds.provider.shop",
            "gatepass_crypto_host.algorithm.RS256",
            "gatepass_revocation_entries.list.revocations",
            "gatepass_revocation_age_seconds.list.allowlist",
            "gatepass_processing_microseconds",
            "gatepass_config_hash",
            "gatepass_signing_key_end_timestamp_seconds",
        ] {
            assert!(names.iter().any(|name| name == expected), "{expected}");
        }
        assert_eq!(
            flattened(&denials(Code::TokenMissing)),
            "gatepass_requests_total.outcome.denied.code.token_missing"
        );
    }
}
