//! Messages between the main thread and one worker.
//!
//! A lock is held only while something is moved in or out, never while a gateway runs or
//! during an Envoy call other than one that schedules a hook.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gatepass::callout::CalloutReply;
use gatepass::gateway::CalloutId;
use gatepass::metrics::Sample;
use gatepass::time::UnixTime;

use crate::abi::{Request, StreamWaker};

/// The mailbox of one worker's gateway.
#[derive(Default)]
pub(crate) struct Mailbox {
    post: Mutex<Post>,
    /// True if there is mail; checked for each request.
    has_mail: AtomicBool,
    counted: Mutex<Vec<Sample>>,
}

/// A reply and its time of arrival. A worker without requests may read it much later,
/// which must not make it look newer.
pub(crate) struct Mail {
    pub(crate) callout: CalloutId,
    pub(crate) reply: CalloutReply,
    pub(crate) came: UnixTime,
}

#[derive(Default)]
struct Post {
    replies: Vec<Mail>,
    /// The streams that can be woken to read it.
    waiting: BTreeMap<Request, Arc<StreamWaker>>,
}

impl Post {
    /// Wakes one waiting stream, which reads the mail for all. If it ends before it wakes,
    /// [`Mailbox::stop_waiting`] wakes another.
    fn wake_one(&self) {
        if let Some(waker) = self.waiting.values().next() {
            waker.wake();
        }
    }
}

/// Poisoning is ignored: a panic on another thread leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mailbox {
    /// Delivers a reply. If no stream waits, the next request reads it.
    pub(crate) fn deliver(&self, callout: CalloutId, reply: CalloutReply, came: UnixTime) {
        let mut post = lock(&self.post);
        post.replies.push(Mail { callout, reply, came });
        self.has_mail.store(true, Ordering::Release);
        post.wake_one();
    }

    /// The replies, oldest first.
    pub(crate) fn take(&self) -> Vec<Mail> {
        if !self.has_mail.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut post = lock(&self.post);
        self.has_mail.store(false, Ordering::Release);
        std::mem::take(&mut post.replies)
    }

    /// A stream waits from now on.
    pub(crate) fn start_waiting(&self, request: Request, waker: Arc<StreamWaker>) {
        lock(&self.post).waiting.insert(request, waker);
    }

    /// A stream waits no longer, or is over.
    pub(crate) fn stop_waiting(&self, request: Request) {
        let mut post = lock(&self.post);
        post.waiting.remove(&request);
        if !post.replies.is_empty() {
            post.wake_one();
        }
    }

    /// True while a stream waits, or there are samples to forward.
    pub(crate) fn is_needed(&self) -> bool {
        !lock(&self.post).waiting.is_empty() || !lock(&self.counted).is_empty()
    }

    /// Wakes a waiting stream, if there is one, to handle overdue callouts.
    pub(crate) fn wake_one(&self) {
        lock(&self.post).wake_one();
    }

    /// Leaves metric samples for the main thread.
    pub(crate) fn count(&self, samples: Vec<Sample>) {
        if samples.is_empty() {
            return;
        }
        let mut counted = lock(&self.counted);
        // The main thread is blocked: samples are not worth the memory.
        if counted.len() < MAX_COUNTED {
            counted.extend(samples);
        }
    }

    /// The samples since the last call.
    pub(crate) fn take_counted(&self) -> Vec<Sample> {
        std::mem::take(&mut lock(&self.counted))
    }
}

/// About ten seconds of a busy worker.
const MAX_COUNTED: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_without_streams_is_needed_until_its_samples_are_taken() {
        let mailbox = Mailbox::default();
        mailbox.count(Vec::new());
        assert!(!mailbox.is_needed(), "new");
        mailbox.count(vec![(0, 1)]);
        assert!(mailbox.is_needed());
        assert_eq!(mailbox.take_counted(), [(0, 1)]);
        assert!(!mailbox.is_needed());
    }

    #[test]
    fn samples_that_nobody_takes_are_bounded() {
        let mailbox = Mailbox::default();
        mailbox.count(vec![(0, 1); MAX_COUNTED - 1]);
        for _ in 0..3 {
            mailbox.count(vec![(0, 1)]);
        }
        assert_eq!(mailbox.take_counted().len(), MAX_COUNTED);
    }
}
