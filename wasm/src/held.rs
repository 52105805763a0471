//! The state that this VM holds for requests, for tests: none once they have ended.
//!
//! The contexts belong to the SDK, which does not count them. They are counted by their
//! references to the plugin.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use gatepass::gateway;

use crate::shared::Shared;

thread_local! {
    static PLUGINS: RefCell<Vec<Weak<Shared>>> = const { RefCell::new(Vec::new()) };
}

/// The state held for requests, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Contexts of requests.
    pub contexts: usize,
    /// The state of the gateways.
    pub requests: gateway::Held,
}

/// A plugin was configured.
pub(crate) fn watch(shared: &Rc<Shared>) {
    PLUGINS.with_borrow_mut(|plugins| {
        plugins.retain(|plugin| plugin.upgrade().is_some());
        plugins.push(Rc::downgrade(shared));
    });
}

pub(crate) fn held() -> Held {
    PLUGINS.with_borrow(|plugins| {
        plugins.iter().filter_map(Weak::upgrade).fold(Held::default(), |held, shared| {
            // One reference is the root context's, one is held here.
            let contexts = Rc::strong_count(&shared).saturating_sub(2);
            Held {
                contexts: held.contexts.saturating_add(contexts),
                requests: held.requests.and(shared.held()),
            }
        })
    })
}
