//! A configuration's text, from which each thread makes its gateway.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use gatepass::config::{self, Problem, Problems};
use gatepass::event::Event;
use gatepass::gateway::Gateway;
use gatepass::host::{HostCapabilities, RequestInfo};
use gatepass::pipeline::{Settings, SharedData};
use gatepass::time::{Span, UnixTime};
use gatepass_native::{AwsLc, Store, VerifiesOnce, seed};

/// Reads a configuration, on the thread that uses it.
pub(crate) fn load(text: &[u8]) -> Result<Settings, Problems> {
    gatepass_native::load(text, Rc::new(VerifiesOnce(AwsLc)))
}

/// A configuration as it was validated, with the secrets of that time.
#[derive(Debug)]
pub(crate) struct ConfigSnapshot {
    id: u64,
    text: Box<[u8]>,
    /// The store of its own gateways if they share nothing with others: a worker without
    /// requests gets no events, and must find what the main thread has fetched in the
    /// meantime.
    own: Store,
    /// Answers about users that its gateways received.
    user_info: Store,
    over: AtomicBool,
}

impl ConfigSnapshot {
    /// Reads a configuration; logs what is wrong with it.
    pub(crate) fn new(text: &[u8]) -> Option<Arc<Self>> {
        Self::read(text).map_err(|problems| log_problems(&problems)).ok().map(Arc::new)
    }

    fn read(text: &[u8]) -> Result<Self, Problems> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let settings = load(text)?;
        if settings.shared_data == SharedData::Never {
            config::check_unshared(&settings)?;
        }
        Problems::check(config::check_host(&settings, HostCapabilities::ENVOY_NATIVE))?;
        if let Some(gap) = settings.minter.keys.gap(now()) {
            write_log(&Event::NobodySigns(gap));
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            id,
            text: text.into(),
            own: Store::default(),
            user_info: Store::with_bounds(settings.user_info_entries, settings.user_info_bytes),
            over: AtomicBool::new(false),
        })
    }

    /// Unique within this process.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// Envoy will send no more requests: its gateways can go.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// True if Envoy will send no more requests.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Makes a gateway for the calling thread. The configuration was valid when the snapshot
    /// was made.
    pub(crate) fn gateway(&self, info: Option<Box<dyn RequestInfo>>) -> Result<Gateway, Problems> {
        let mut settings = load(&self.text)?;
        settings.access_log_properties.get_or_insert(true);
        let seed = seed().map_err(|error| {
            let accepted = "a machine with a source of randomness";
            Problem::new("$", error.to_string(), accepted)
        })?;
        let store = Store::of_process(settings.shared_data);
        let store = store.unwrap_or_else(|| Box::new(self.own.clone()));
        let gateway = Gateway::new(settings, HostCapabilities::ENVOY_NATIVE, seed);
        let mut gateway = match info {
            Some(info) => gateway.with_request_info(info),
            None => gateway,
        };
        gateway.share(store);
        gateway.share_user_info(Box::new(self.user_info.clone()));
        Ok(gateway)
    }
}

/// Snapshots with outdated secrets, for requests that began with them.
#[derive(Debug, Default)]
pub(crate) struct ReplacedSnapshots(RefCell<Vec<(UnixTime, Arc<ConfigSnapshot>)>>);

impl ReplacedSnapshots {
    /// How long such a request may take.
    const LONGEST: Span = Span::from_secs(120);

    /// A snapshot is replaced.
    pub(crate) fn add(&self, snapshot: Arc<ConfigSnapshot>, now: UnixTime) {
        self.0.borrow_mut().push((now.plus(Self::LONGEST), snapshot));
    }

    /// Ends those whose time is over. A clock that is set back ends none.
    pub(crate) fn end(&self, now: UnixTime) {
        let mut snapshots = self.0.borrow_mut();
        snapshots.extract_if(.., |(ends, _)| now >= *ends).for_each(|(_, it)| it.end());
    }
}

/// The time.
#[allow(clippy::disallowed_methods, reason = "the door is where the clock is read")]
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Writes the problems of a configuration to the log. Envoy does not say which of its modules
/// a line is from.
pub(crate) fn log_problems(problems: &Problems) {
    problems.lines(usize::MAX).iter().for_each(|line| log::error!("gatepass: {line}"));
}

/// Writes an event to the log.
pub(crate) fn write_log(event: &Event) {
    log::log!(event.level(), "{event}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = r#"{
        "services": {"auth": {"upstream": "auth", "authority": "auth"}},
        "providers": {"shop": {"issuer": "https://a", "audiences": ["b"],
            "remote_jwks": {"service": "auth", "path": "/jwks"}}},
        "identity_token": {"issuer": "https://c", "audiences": ["d"], "signing_keys": [{
            "algorithm": "EdDSA", "private_key": {"kty": "OKP", "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}]}
    }"#;

    #[test]
    fn a_replaced_snapshot_goes_on_for_requests_that_began_with_it_and_then_ends() {
        let snapshots =
            [(); 2].map(|()| ConfigSnapshot::new(CONFIGURATION.as_bytes()).expect("it is valid"));
        let over = || [snapshots[0].is_over(), snapshots[1].is_over()];
        let at = UnixTime::from_secs;
        let replaced = ReplacedSnapshots::default();
        replaced.add(Arc::clone(&snapshots[0]), at(100));
        replaced.add(Arc::clone(&snapshots[1]), at(150));
        for (case, now, expected) in [
            ("at once", at(150), [false, false]),
            ("set back", at(50), [false, false]),
            ("just before the first one's end", UnixTime::from_millis(219_999), [false, false]),
            ("at its end", at(220), [true, false]),
            ("at the other's", at(270), [true, true]),
        ] {
            replaced.end(now);
            assert_eq!(over(), expected, "{case}");
        }
        assert!(replaced.0.borrow().is_empty());
    }
}
