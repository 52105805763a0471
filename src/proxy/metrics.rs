//! The host's metrics: defined once, then fed with what the core counted.

use super::host::{Host, Metric};
use crate::metrics::{Reading, Series};

/// The metrics of one plugin, in the order of the core's series.
pub(super) struct Metrics {
    host: Host,
    metrics: Vec<Option<Metric>>,
}

impl Metrics {
    /// Defines every series. One that the host does not take is not counted.
    pub(super) fn define(host: Host, series: &[Series]) -> Self {
        let mut metrics: Vec<Option<Metric>> = Vec::with_capacity(series.len());
        for Series { kind, name } in series {
            let metric = host.define(*kind, name);
            // Two names with one hash: counting both would mix them up, and trap
            // where they are of two kinds.
            let is_taken =
                metric.is_some_and(|metric| metrics.iter().flatten().any(|other| other.is(metric)));
            metrics.push(metric.filter(|_| !is_taken));
        }
        Self { host, metrics }
    }

    /// Hands on what was counted.
    pub(super) fn feed(&self, readings: &[Reading]) {
        for (position, amount) in readings {
            if let Some(Some(metric)) = self.metrics.get(*position) {
                self.host.measure(*metric, *amount);
            }
        }
    }
}
