//! Actions for a held stream that result from other streams' events.

use std::cell::RefCell;
use std::sync::Arc;

use gatepass::gateway::Action;

use crate::abi::StreamWaker;

/// Actions for a held stream, to be executed in one of its own hooks.
#[derive(Default)]
pub(crate) struct PendingActions {
    actions: RefCell<Vec<Action>>,
    waker: RefCell<Option<Arc<StreamWaker>>>,
}

impl PendingActions {
    /// Schedules its hook; created when the stream is first held.
    pub(crate) fn waker(&self, make: impl FnOnce() -> StreamWaker) -> Arc<StreamWaker> {
        let mut waker = self.waker.borrow_mut();
        Arc::clone(waker.get_or_insert_with(|| Arc::new(make())))
    }

    /// Queues an action.
    pub(crate) fn push(&self, action: Action) {
        self.actions.borrow_mut().push(action);
        self.wake();
    }

    /// Schedules its hook.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake();
        }
    }

    /// The actions, oldest first.
    pub(crate) fn take(&self) -> Vec<Action> {
        self.actions.take()
    }
}
