//! What this VM keeps of requests, for tests: nothing once they are over.
//!
//! The contexts are the SDK's, which says nothing of them: each has a reference to
//! its plugin.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use gatepass::gateway;

use crate::shared::Shared;

thread_local! {
    static PLUGINS: RefCell<Vec<Weak<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// What is held for requests, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Contexts of requests.
    pub contexts: usize,
    /// Callouts in flight, those of no request included.
    pub calls: usize,
    /// What the gateways hold.
    pub requests: gateway::Held,
}

/// A plugin was configured.
pub(crate) fn watch(shared: &Rc<Shared>) {
    PLUGINS.with_borrow_mut(|plugins| {
        plugins.retain(|plugin| plugin.strong_count() > 0);
        plugins.push(Rc::downgrade(shared));
    });
}

pub(crate) fn held() -> Held {
    PLUGINS.with_borrow(|plugins| {
        plugins.iter().filter_map(Weak::upgrade).fold(Held::default(), |held, shared| {
            let (requests, calls) = shared.held();
            // One reference is the root context's, one is had here.
            let contexts = Rc::strong_count(&shared).saturating_sub(2);
            Held {
                contexts: held.contexts.saturating_add(contexts),
                calls: held.calls.saturating_add(calls),
                requests: held.requests.and(requests),
            }
        })
    })
}
