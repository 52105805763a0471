//! The state of a configuration shared by all threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use crate::abi::ConfigWaker;
use crate::in_flight::CalloutsInFlight;
use crate::mailbox::Mailbox;
use crate::outgoing::Outgoing;
use crate::snapshot::ConfigSnapshot;

/// The state of a configuration shared by all threads.
pub(crate) struct Shared {
    /// Unique within this process.
    id: u64,
    /// The listener's snapshot; a route may have another. `None` until its secrets have
    /// arrived.
    snapshot: RwLock<Option<Arc<ConfigSnapshot>>>,
    /// Wakes the main thread, until the configuration is destroyed.
    waker: Mutex<Option<ConfigWaker>>,
    /// True if the main thread is already scheduled.
    called: AtomicBool,
    /// Callouts to be sent.
    outbox: Mutex<Vec<(Arc<Mailbox>, Outgoing)>>,
    /// The mailboxes of the workers' gateways, and the snapshot of each.
    mailboxes: Mutex<Vec<(Arc<ConfigSnapshot>, Weak<Mailbox>)>>,
    panics: AtomicU64,
    /// Requests denied because there is no gateway for them.
    unconfigured: AtomicU64,
    pub(crate) in_flight: Arc<CalloutsInFlight>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(snapshot: Option<Arc<ConfigSnapshot>>, waker: ConfigWaker) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            snapshot: RwLock::new(snapshot),
            waker: Mutex::new(Some(waker)),
            called: AtomicBool::new(false),
            outbox: Mutex::default(),
            mailboxes: Mutex::default(),
            panics: AtomicU64::new(0),
            unconfigured: AtomicU64::new(0),
            in_flight: Arc::new(CalloutsInFlight::new()),
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// The snapshot for new requests.
    pub(crate) fn snapshot(&self) -> Option<Arc<ConfigSnapshot>> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the snapshot for new requests; returns the previous one.
    pub(crate) fn replace_snapshot(
        &self,
        snapshot: Arc<ConfigSnapshot>,
    ) -> Option<Arc<ConfigSnapshot>> {
        self.snapshot.write().unwrap_or_else(PoisonError::into_inner).replace(snapshot)
    }

    /// True if Envoy has destroyed the configuration.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.waker).is_none()
    }

    /// Wakes the main thread for this configuration.
    pub(crate) fn call_main(&self) {
        if !self.called.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*lock(&self.waker)
        {
            waker.wake();
        }
    }

    /// Queues a callout; its reply goes to the mailbox.
    pub(crate) fn send(&self, mailbox: &Arc<Mailbox>, callout: Outgoing) {
        lock(&self.outbox).push((Arc::clone(mailbox), callout));
        self.call_main();
    }

    /// Registers the mailbox of a worker's gateway.
    pub(crate) fn join(&self, snapshot: &Arc<ConfigSnapshot>, mailbox: &Arc<Mailbox>) {
        lock(&self.mailboxes).push((Arc::clone(snapshot), Arc::downgrade(mailbox)));
        self.call_main();
    }

    /// The mailboxes in use, with their snapshots. A stream may outlive its snapshot by hours, and
    /// it ends with its token only while its mailbox is in use.
    pub(crate) fn in_use(&self) -> Vec<(Arc<ConfigSnapshot>, Arc<Mailbox>)> {
        let mut in_use = Vec::new();
        lock(&self.mailboxes).retain(|(snapshot, mailbox)| {
            let needed = |it: &Arc<Mailbox>| !snapshot.is_over() || it.is_needed();
            let mailbox = mailbox.upgrade().filter(needed);
            let is_needed = mailbox.is_some();
            in_use.extend(mailbox.map(|mailbox| (Arc::clone(snapshot), mailbox)));
            is_needed
        });
        in_use
    }

    /// A hook panicked.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of panicked hooks since the last call.
    pub(crate) fn take_panics(&self) -> u64 {
        self.panics.swap(0, Ordering::Relaxed)
    }

    /// A request was denied because there is no gateway for it.
    pub(crate) fn denied_unconfigured(&self) {
        self.unconfigured.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of such requests since the last call.
    pub(crate) fn take_unconfigured(&self) -> u64 {
        self.unconfigured.swap(0, Ordering::Relaxed)
    }

    /// Called when the main thread starts its work: from here on it can be woken again.
    pub(crate) fn answer_call(&self) {
        self.called.store(false, Ordering::Release);
    }

    /// The queued callouts, each with the mailbox for its reply.
    pub(crate) fn take_outbox(&self) -> Vec<(Arc<Mailbox>, Outgoing)> {
        std::mem::take(&mut *lock(&self.outbox))
    }

    /// Envoy destroys the configuration: the main thread is not woken any more.
    pub(crate) fn end(&self) {
        lock(&self.waker).take();
    }
}
