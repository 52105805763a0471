//! The gauges: values that the host keeps until it gets another one.

use super::Cache;
use super::series::{Kind, NameLabels, Sample, Series, label};
use crate::keys::{Algorithm, AlgorithmSet};
use crate::time::{Span, UnixTime};

/// All gauges of a gateway.
#[derive(Debug)]
pub struct Gauges {
    providers: NameLabels,
    /// First those of key ages, by position of the provider.
    gauges: Vec<Gauge>,
    /// False if the host has been given all of them.
    have_news: bool,
}

/// The value of a gauge, and whether the host has been given it.
#[derive(Debug)]
struct Gauge {
    series: Series,
    value: u64,
    is_reported: bool,
}

impl Gauge {
    /// A gauge that the host gets with the first samples.
    const fn new(series: Series, value: u64) -> Self {
        Self { series, value, is_reported: false }
    }

    /// Sets it; true if the host is to be given it.
    const fn set(&mut self, value: u64) -> bool {
        self.is_reported &= self.value == value;
        self.value = value;
        !self.is_reported
    }
}

/// The age of a provider's keys.
const KEYS_AGE: &str = "gatepass_jwks_age_seconds";

/// The number of entries in a list.
const ENTRIES: &str = "gatepass_revocation_entries";

/// How long ago a list's feed was read to its end.
const LIST_AGE: &str = "gatepass_revocation_age_seconds";

/// The memory of a cache.
const CACHE_BYTES: &str = "gatepass_cache_bytes";

/// The configuration, by a number that differs for another one.
const CONFIG_HASH: &str = "gatepass_config_hash";

/// When the next signing key starts, or one ends.
const KEY_CHANGE: &str = "gatepass_signing_key_change_timestamp_seconds";

/// From when on no key signs.
const KEY_END: &str = "gatepass_signing_key_end_timestamp_seconds";

impl Gauges {
    pub(super) fn new<'a>(
        providers: impl Iterator<Item = &'a str>,
        lists: impl Iterator<Item = (&'static str, bool)>,
        by_host: AlgorithmSet,
    ) -> Self {
        let providers = NameLabels::new(providers);
        let gauge = |name, label, value: &str| Series::new(Kind::Gauge, name, [(label, value)]);
        let ages = providers.labels.iter().map(|provider| Gauge {
            is_reported: true,
            ..Gauge::new(gauge(KEYS_AGE, "provider", provider), 0)
        });
        let algorithms = Algorithm::in_build().map(|algorithm| {
            let series = gauge("gatepass_crypto_host", "algorithm", algorithm.name());
            Gauge::new(series, by_host.contains(algorithm).into())
        });
        let caches = Cache::ALL.map(|it| Gauge::new(gauge(CACHE_BYTES, "cache", it.name()), 0));
        let lists = lists.flat_map(|(list, is_fed)| {
            let series = [Some(ENTRIES), is_fed.then_some(LIST_AGE)].into_iter().flatten();
            series.map(move |name| Gauge::new(gauge(name, "list", list), 0))
        });
        let plain = [CONFIG_HASH, KEY_CHANGE, KEY_END];
        let plain = plain.map(|name| Gauge::new(Series::new(Kind::Gauge, name, []), 0));
        let gauges = ages
            .chain(algorithms)
            .chain(caches)
            .chain(lists)
            .chain(plain)
            .chain([build()])
            .collect();
        Self { providers, gauges, have_news: true }
    }

    pub(super) fn series(&self) -> impl Iterator<Item = Series> {
        self.gauges.iter().map(|gauge| gauge.series.clone())
    }

    /// Sets the age of a provider's keys.
    pub fn keys_age(&mut self, provider: &str, age: Span) {
        let Some(position) = self.providers.position(provider) else { return };
        let seconds = u64::try_from(age.as_secs()).unwrap_or(0);
        if let Some(gauge) = self.gauges.get_mut(position) {
            self.have_news |= gauge.set(seconds);
        }
    }

    /// Sets the number of entries in a list, and the age of its feed.
    pub fn list(&mut self, list: &str, entries: usize, age: Span) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        let seconds = u64::try_from(age.as_secs()).unwrap_or(0);
        self.set_labelled(ENTRIES, list, entries);
        self.set_labelled(LIST_AGE, list, seconds);
    }

    /// Sets the memory of a cache.
    pub fn cache(&mut self, cache: Cache, bytes: usize) {
        self.set_labelled(CACHE_BYTES, cache.name(), u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Sets the number of the configuration.
    pub fn config_hash(&mut self, hash: u64) {
        self.set(CONFIG_HASH, hash);
    }

    /// Sets the time of the next change of the signing keys, and the time from which on
    /// no key signs; 0 if there is none.
    pub fn signing_keys(&mut self, change: Option<UnixTime>, end: Option<UnixTime>) {
        for (name, time) in [(KEY_CHANGE, change), (KEY_END, end)] {
            let seconds = time.map_or(0, UnixTime::as_secs);
            self.set(name, u64::try_from(seconds).unwrap_or(0));
        }
    }

    fn set_labelled(&mut self, name: &str, label: &str, value: u64) {
        let is_it = |gauge: &&mut Gauge| {
            gauge.series.name == name && gauge.series.labels.iter().any(|(_, own)| own == label)
        };
        if let Some(gauge) = self.gauges.iter_mut().find(is_it) {
            self.have_news |= gauge.set(value);
        }
    }

    fn set(&mut self, name: &str, value: u64) {
        if let Some(gauge) = self.gauges.iter_mut().find(|gauge| gauge.series.name == name) {
            self.have_news |= gauge.set(value);
        }
    }

    /// Resets the ages and the caches: keys and lists are no longer fetched here, and the
    /// host keeps a gauge as long as it runs.
    pub fn retire(&mut self) {
        for gauge in &mut self.gauges {
            if matches!(gauge.series.name, KEYS_AGE | LIST_AGE | CACHE_BYTES) {
                (gauge.value, gauge.is_reported) = (0, false);
            }
        }
        self.have_news = true;
    }

    /// The values that the host does not have yet; `start` is the position of the first
    /// gauge.
    pub(super) fn take(&mut self, start: usize) -> impl Iterator<Item = Sample> {
        // A native door asks after each event.
        let have_news = std::mem::take(&mut self.have_news);
        let gauges = if have_news { &mut *self.gauges } else { &mut [] };
        gauges.iter_mut().enumerate().filter_map(move |(position, gauge)| {
            let is_new = !std::mem::replace(&mut gauge.is_reported, true);
            is_new.then_some((start.saturating_add(position), gauge.value))
        })
    }
}

/// The processor that the filter is built for.
const ARCH: &str = if cfg!(target_arch = "wasm32") {
    "wasm32"
} else if cfg!(target_arch = "x86_64") {
    "x86_64"
} else if cfg!(target_arch = "aarch64") {
    "aarch64"
} else {
    "other"
};

/// Always 1: the labels are its value.
fn build() -> Gauge {
    let version = label(env!("CARGO_PKG_VERSION"));
    let labels = [("version", version.as_str()), ("arch", ARCH)];
    Gauge::new(Series::new(Kind::Gauge, "gatepass_build_info", labels), 1)
}
