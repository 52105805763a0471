//! The state of a configuration shared by all threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use crate::abi::ConfigWaker;
use crate::in_flight::InFlight;
use crate::mailbox::Mailbox;
use crate::outgoing::Outgoing;
use crate::plan::Plan;

/// The state of a configuration shared by all threads.
pub(crate) struct Shared {
    /// Unlike that of any other of this process.
    id: u64,
    /// The listener's; a route may have another. None before its secrets have come.
    plan: RwLock<Option<Arc<Plan>>>,
    /// Calls the main thread, until the configuration is destroyed.
    waker: Mutex<Option<ConfigWaker>>,
    /// True if the main thread is already scheduled.
    called: AtomicBool,
    /// Callouts to be sent.
    outbox: Mutex<Vec<(Arc<Mailbox>, Outgoing)>>,
    /// The mailboxes of the workers' gateways, and the plan of each.
    mailboxes: Mutex<Vec<(Arc<Plan>, Weak<Mailbox>)>>,
    panics: AtomicU64,
    pub(crate) in_flight: Arc<InFlight>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(plan: Option<Arc<Plan>>, waker: ConfigWaker) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            plan: RwLock::new(plan),
            waker: Mutex::new(Some(waker)),
            called: AtomicBool::new(false),
            outbox: Mutex::default(),
            mailboxes: Mutex::default(),
            panics: AtomicU64::new(0),
            in_flight: Arc::new(InFlight::new()),
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    /// The plan of requests that begin now.
    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        self.plan.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has requests that begin from now on follow another plan; gives the one before.
    pub(crate) fn replace_plan(&self, plan: Arc<Plan>) -> Option<Arc<Plan>> {
        self.plan.write().unwrap_or_else(PoisonError::into_inner).replace(plan)
    }

    /// True if Envoy has destroyed the configuration.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.waker).is_none()
    }

    /// Has the main thread look after this configuration.
    pub(crate) fn call_main(&self) {
        if !self.called.swap(true, Ordering::AcqRel)
            && let Some(waker) = &*lock(&self.waker)
        {
            waker.wake();
        }
    }

    /// Sends a callout; its reply comes to the mailbox.
    pub(crate) fn send(&self, mailbox: &Arc<Mailbox>, callout: Outgoing) {
        lock(&self.outbox).push((Arc::clone(mailbox), callout));
        self.call_main();
    }

    /// A worker's gateway has this mailbox from now on.
    pub(crate) fn join(&self, plan: &Arc<Plan>, mailbox: &Arc<Mailbox>) {
        lock(&self.mailboxes).push((Arc::clone(plan), Arc::downgrade(mailbox)));
        self.call_main();
    }

    /// The mailboxes in use, with their plans.
    pub(crate) fn in_use(&self) -> Vec<(Arc<Plan>, Arc<Mailbox>)> {
        let mut mailboxes = lock(&self.mailboxes);
        mailboxes.retain(|(plan, mailbox)| !plan.is_over() && mailbox.strong_count() > 0);
        let pairs = mailboxes.iter();
        pairs.filter_map(|(plan, mailbox)| Some((Arc::clone(plan), mailbox.upgrade()?))).collect()
    }

    /// A hook panicked.
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a hook panicked since the last call.
    pub(crate) fn take_panics(&self) -> u64 {
        self.panics.swap(0, Ordering::Relaxed)
    }

    /// The main thread looks after it now: it is called again by what comes from here on.
    pub(crate) fn answer_call(&self) {
        self.called.store(false, Ordering::Release);
    }

    /// The callouts to be sent, each with the mailbox for its reply.
    pub(crate) fn take_outbox(&self) -> Vec<(Arc<Mailbox>, Outgoing)> {
        std::mem::take(&mut *lock(&self.outbox))
    }

    /// Envoy destroys the configuration: the main thread is not called any more.
    pub(crate) fn end(&self) {
        lock(&self.waker).take();
    }
}
