//! Actions that other streams leave for a held one.

use std::cell::RefCell;
use std::sync::Arc;

use gatepass::gateway::Action;

use crate::abi::StreamWaker;

/// Actions left for a held stream, to be done in a hook of its own.
#[derive(Default)]
pub(crate) struct Held {
    to_do: RefCell<Vec<Action>>,
    waker: RefCell<Option<Arc<StreamWaker>>>,
}

impl Held {
    /// Schedules its hook; made when it is first held.
    pub(crate) fn waker(&self, make: impl FnOnce() -> StreamWaker) -> Arc<StreamWaker> {
        let mut waker = self.waker.borrow_mut();
        Arc::clone(waker.get_or_insert_with(|| Arc::new(make())))
    }

    /// Leaves something to do.
    pub(crate) fn leave(&self, action: Action) {
        self.to_do.borrow_mut().push(action);
        self.wake();
    }

    /// Has its hook called.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake();
        }
    }

    /// The actions, oldest first.
    pub(crate) fn take(&self) -> Vec<Action> {
        self.to_do.take()
    }

    /// The stream is over.
    pub(crate) fn end(&self) {
        self.to_do.take();
        self.waker.take();
    }
}
