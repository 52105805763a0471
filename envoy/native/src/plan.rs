//! A configuration's text, from which each thread makes its gateway.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use gatepass::config::{self, Problems};
use gatepass::event::Event;
use gatepass::gateway::Gateway;
use gatepass::host::{HostCapabilities, RequestInfo};
use gatepass::pipeline::{Settings, SharedData};
use gatepass::time::UnixTime;
use gatepass_native::{AwsLc, Store, VerifiesOnce, seed};

/// Reads a configuration, on the thread that uses it.
pub(crate) fn load(text: &[u8]) -> Result<Settings, Problems> {
    gatepass_native::load(text, Rc::new(VerifiesOnce(AwsLc)))
}

/// A validated configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    id: u64,
    text: Box<[u8]>,
    /// The store of its own gateways if they share nothing with others: a worker without
    /// requests gets no events, and must find what the main thread has fetched in the
    /// meantime.
    own: Store,
    /// Answers about users that its gateways received.
    answers: Store,
    over: AtomicBool,
}

impl Plan {
    /// Reads a configuration; logs what is wrong with it.
    pub(crate) fn new(text: &[u8]) -> Option<Arc<Self>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let settings = match load(text) {
            Ok(settings) => settings,
            Err(problems) => {
                problems.lines(usize::MAX).iter().for_each(|line| log::error!("{line}"));
                return None;
            }
        };
        if settings.shared_data == SharedData::Never
            && let Err(problem) = config::check_unshared(&settings)
        {
            Problems(vec![problem]).lines(usize::MAX).iter().for_each(|line| log::error!("{line}"));
            return None;
        }
        let problems = config::check_host(&settings, HostCapabilities::ENVOY_NATIVE);
        if !problems.is_empty() {
            Problems(problems).lines(usize::MAX).iter().for_each(|line| log::error!("{line}"));
            return None;
        }
        if let Some(gap) = settings.minter.keys.gap(now()) {
            write_log(&Event::NobodySigns(gap));
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Arc::new(Self {
            id,
            text: text.into(),
            own: Store::default(),
            answers: Store::with_bounds(settings.user_info_entries, settings.user_info_bytes),
            over: AtomicBool::new(false),
        }))
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

    /// Makes a gateway for the calling thread. `None` only if the system has no
    /// randomness.
    pub(crate) fn gateway(&self, info: Option<Box<dyn RequestInfo>>) -> Option<Gateway> {
        let mut settings = load(&self.text).ok()?;
        settings.access_log_properties.get_or_insert(true);
        let seed = match seed() {
            Ok(seed) => seed,
            Err(error) => {
                log::error!("{error}");
                return None;
            }
        };
        let store = Store::of_process(settings.shared_data);
        let store = store.unwrap_or_else(|| Box::new(self.own.clone()));
        let gateway = Gateway::new(settings, HostCapabilities::ENVOY_NATIVE, seed);
        let mut gateway = match info {
            Some(info) => gateway.with_request_info(info),
            None => gateway,
        };
        gateway.share(store);
        gateway.share_answers(Box::new(self.answers.clone()));
        Some(gateway)
    }
}

/// The time.
#[allow(clippy::disallowed_methods, reason = "the door is where the clock is read")]
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Writes an event to the log.
pub(crate) fn write_log(event: &Event) {
    log::log!(event.level(), "{event}");
}
