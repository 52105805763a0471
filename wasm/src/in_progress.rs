//! What is in progress in this VM, for tests: nothing once its requests are over.
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

/// What is in progress, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InProgress {
    /// Contexts of requests.
    pub contexts: usize,
    /// What is in progress in the gateways.
    pub requests: gateway::InProgress,
}

/// A plugin was configured.
pub(crate) fn watch(shared: &Rc<Shared>) {
    PLUGINS.with_borrow_mut(|plugins| {
        plugins.retain(|plugin| plugin.upgrade().is_some());
        plugins.push(Rc::downgrade(shared));
    });
}

pub(crate) fn in_progress() -> InProgress {
    PLUGINS.with_borrow(|plugins| {
        plugins.iter().filter_map(Weak::upgrade).fold(InProgress::default(), |sum, shared| {
            // One reference is the root context's, one is held here.
            let contexts = Rc::strong_count(&shared).saturating_sub(2);
            InProgress {
                contexts: sum.contexts.saturating_add(contexts),
                requests: sum.requests.and(shared.in_progress()),
            }
        })
    })
}
