//! The callouts in flight: their purpose, start and waiting requests.
//!
//! Requests with the same purpose share a callout where the host can resume one from
//! the reply to another.

use std::collections::HashMap;
use std::rc::Rc;

use super::memory::RequestMemory;
use super::purpose::{Kind, Purpose};
use crate::callout::{Callout, Service};
use crate::host::{ById, HostCapabilities};
use crate::time::{Span, UnixTime};

/// A callout to send, with the id for its reply.
#[derive(Debug)]
pub struct Dispatch {
    /// To be passed to [`complete`](crate::pipeline::Pipeline::complete) with the reply.
    pub id: CalloutId,
    /// The callout.
    pub callout: Callout,
}

/// Identifies a callout in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalloutId(u64);

/// How many kinds there are.
const KINDS: usize = 8;

/// The share of the budget that callouts in flight use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    /// Those that a request waits for.
    awaited: usize,
    /// Callouts whose requests are gone, kept for their answer.
    abandoned: usize,
    /// Bytes of small callouts, including bodies.
    small_bytes: usize,
    /// Bytes of the others: few clients with large bodies must not block logins with a name
    /// and a password.
    large_bytes: usize,
}

impl Load {
    /// Limit of requests that fetch keys already being fetched by another: enough for
    /// those that arrive just as a worker starts, and no burden for a slow service.
    const MAX_DUPLICATES: usize = 100;

    /// Limit of awaited callouts of one kind: made-up tokens and users cost a client
    /// nothing.
    const MAX_AWAITED: usize = 1000;

    /// Abandoned callouts count less, so many as one: a client that disconnects at once
    /// can make more of them, and must not crowd out others.
    const ABANDONED_AS_ONE: usize = 4;

    /// The byte limit of the small callouts of a kind, and of the large ones.
    const MAX_BYTES: usize = 8 * 1024 * 1024;

    /// The maximum size of a small one.
    const SMALL_BYTES: usize = 16 * 1024;

    /// True if there is room for one more. A single callout always has room: otherwise a
    /// body within its own limit could never pass.
    const fn has_room(self, kind: Kind, bytes: usize) -> bool {
        let most = match kind {
            Kind::DuplicateKeys | Kind::Tokens => Self::MAX_DUPLICATES,
            _ => Self::MAX_AWAITED,
        };
        let number = self.awaited.saturating_add(self.abandoned / Self::ABANDONED_AS_ONE);
        let held = if Self::is_small(bytes) { self.small_bytes } else { self.large_bytes };
        number < most && (held == 0 || held.saturating_add(bytes) <= Self::MAX_BYTES)
    }

    const fn is_small(bytes: usize) -> bool {
        bytes <= Self::SMALL_BYTES
    }
}

/// The result of a request for a callout.
#[derive(Debug)]
pub(crate) enum Requested {
    /// Joined the callout in flight with the same purpose.
    Joined(CalloutId),
    /// A new one is to be sent.
    Opened(Dispatch),
}

/// The budget of a kind of callouts is used up.
#[derive(Debug)]
pub(crate) struct TooManyCallouts;

/// The callouts in flight.
#[derive(Debug)]
pub(crate) struct Callouts {
    host: HostCapabilities,
    next: u64,
    open: ById<CalloutId, InFlight>,
    /// The latest callout for each purpose.
    latest: HashMap<Rc<Purpose>, CalloutId>,
    /// By kind.
    loads: [Load; KINDS],
}

#[derive(Debug)]
pub(crate) struct InFlight {
    pub purpose: Rc<Purpose>,
    /// The expiry of the token for which it was sent.
    pub token_end: Option<UnixTime>,
    /// The service, and the time of the call.
    pub service: Rc<Service>,
    pub sent: UnixTime,
    /// The id of the request that it is sent for.
    pub request_id: Option<Rc<str>>,
    origin: Origin,
    deadline: UnixTime,
    /// The number of requests that wait for it.
    waiters: usize,
    bytes: usize,
}

impl InFlight {
    /// True if a tick can end it. A request that no other can resume waits until its host
    /// reports the end of its callout, however late that is.
    fn ends_at_tick(&self, host: HostCapabilities) -> bool {
        host.resumes_others || self.origin == Origin::Tick
    }
}

/// The context that sends a callout and receives its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Request,
    Tick,
}

/// How long after a service's timeout a missing reply counts as failed. The host
/// reports timeouts itself; this is for hosts that do not, or late.
const GRACE: Span = Span::from_secs(2);

impl Callouts {
    pub(crate) fn new(host: HostCapabilities) -> Self {
        Self {
            host,
            next: 0,
            open: ById::default(),
            latest: HashMap::new(),
            loads: [Load::default(); KINDS],
        }
    }

    /// A callout for a request that has this `memory`: joins the one in flight with the
    /// same purpose, or opens the one that `make` returns. `None` if `make` returns none,
    /// or if the request already has every possible answer.
    pub(crate) fn request(
        &mut self,
        purpose: Purpose,
        memory: &RequestMemory,
        token_end: Option<UnixTime>,
        now: UnixTime,
        make: impl FnOnce() -> Option<Callout>,
    ) -> Result<Option<Requested>, TooManyCallouts> {
        if memory.has_all_outcomes(&purpose) {
            return Ok(None);
        }
        if self.host.resumes_others
            && purpose.is_shared()
            && let Some(id) = self.find(&purpose)
        {
            self.set_waiters(id, |waiters| waiters.saturating_add(1));
            return Ok(Some(Requested::Joined(id)));
        }
        if !self.load(&purpose).has_room(purpose.kind(), purpose.bytes()) {
            return Err(TooManyCallouts);
        }
        let Some(callout) = make() else { return Ok(None) };
        let body = callout.body.as_ref().map_or(0, |body| body.expose().len());
        if !self.load(&purpose).has_room(purpose.kind(), purpose.bytes().saturating_add(body)) {
            return Err(TooManyCallouts);
        }
        let opened = self.open(purpose, callout, token_end, Origin::Request, now);
        Ok(Some(Requested::Opened(opened)))
    }

    /// A callout that no request waits for yet.
    pub(crate) fn open_at_tick(
        &mut self,
        purpose: Purpose,
        callout: Callout,
        now: UnixTime,
    ) -> Dispatch {
        self.open(purpose, callout, None, Origin::Tick, now)
    }

    fn open(
        &mut self,
        purpose: Purpose,
        callout: Callout,
        token_end: Option<UnixTime>,
        origin: Origin,
        now: UnixTime,
    ) -> Dispatch {
        let id = CalloutId(self.next);
        self.next = self.next.wrapping_add(1);
        let deadline = now.plus(callout.service.timeout).plus(GRACE);
        let (purpose, service) = (Rc::new(purpose), Rc::clone(&callout.service));
        self.latest.insert(Rc::clone(&purpose), id);
        let waiters = usize::from(origin == Origin::Request);
        let body = callout.body.as_ref().map_or(0, |body| body.expose().len());
        let bytes = purpose.bytes().saturating_add(body);
        let opened = InFlight {
            purpose,
            token_end,
            service,
            sent: now,
            request_id: None,
            origin,
            deadline,
            waiters,
            bytes,
        };
        self.count(&opened, usize::saturating_add);
        self.open.insert(id, opened);
        Dispatch { id, callout }
    }

    fn load(&self, purpose: &Purpose) -> Load {
        self.loads.get(purpose.kind() as usize).copied().unwrap_or_default()
    }

    /// Adds a callout to the load of its kind, or removes it.
    fn count(&mut self, callout: &InFlight, change: fn(usize, usize) -> usize) {
        let Some(load) = self.loads.get_mut(callout.purpose.kind() as usize) else { return };
        let number = if callout.waiters > 0 { &mut load.awaited } else { &mut load.abandoned };
        *number = change(*number, 1);
        let held = if Load::is_small(callout.bytes) {
            &mut load.small_bytes
        } else {
            &mut load.large_bytes
        };
        *held = change(*held, callout.bytes);
    }

    fn set_waiters(&mut self, id: CalloutId, change: impl FnOnce(usize) -> usize) {
        let Some(mut callout) = self.open.remove(&id) else { return };
        self.count(&callout, usize::saturating_sub);
        callout.waiters = change(callout.waiters);
        self.count(&callout, usize::saturating_add);
        self.open.insert(id, callout);
    }

    /// Records that a waiting request is gone. Returns the callout if it ends with the
    /// request.
    pub(crate) fn leave(&mut self, id: CalloutId) -> Option<InFlight> {
        if self.host.resumes_others {
            self.set_waiters(id, |waiters| waiters.saturating_sub(1));
            None
        } else {
            self.close(id)
        }
    }

    /// Records for which request a callout is sent, and has it say so if it is of one user.
    pub(crate) fn attribute(&mut self, dispatch: &mut Dispatch, request_id: Rc<str>) {
        let Some(opened) = self.open.get_mut(&dispatch.id) else { return };
        if opened.purpose.is_of_user() {
            dispatch.callout.request_id = Some(Rc::clone(&request_id));
        }
        opened.request_id = Some(request_id);
    }

    /// The purpose of a callout in flight.
    pub(crate) fn purpose(&self, id: CalloutId) -> Option<&Purpose> {
        self.open.get(&id).map(|callout| &*callout.purpose)
    }

    fn find(&self, purpose: &Purpose) -> Option<CalloutId> {
        self.latest.get(purpose).copied()
    }

    /// True if a callout with this purpose is in flight.
    pub(crate) fn is_in_flight(&self, purpose: &Purpose) -> bool {
        self.latest.contains_key(purpose)
    }

    /// The number of callouts in flight.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn close(&mut self, id: CalloutId) -> Option<InFlight> {
        let callout = self.open.remove(&id)?;
        self.count(&callout, usize::saturating_sub);
        if self.latest.get(&callout.purpose) == Some(&id) {
            self.latest.remove(&callout.purpose);
        }
        Some(callout)
    }

    /// Callouts whose deadline has passed. A callout sent in the future, because the clock
    /// was set back, gets its whole timeout from now on.
    pub(crate) fn overdue(&mut self, now: UnixTime) -> Vec<CalloutId> {
        for callout in self.open.values_mut().filter(|callout| now < callout.sent) {
            callout.sent = now;
            callout.deadline = now.plus(callout.service.timeout).plus(GRACE);
        }
        let is_overdue =
            |callout: &InFlight| now >= callout.deadline && callout.ends_at_tick(self.host);
        self.open.iter().filter(|(_, callout)| is_overdue(callout)).map(|(id, _)| *id).collect()
    }

    /// True if a callout with this purpose is in flight and has a deadline.
    pub(crate) fn is_awaited(&self, purpose: &Purpose, now: UnixTime) -> bool {
        let callout = self.find(purpose).and_then(|id| self.open.get(&id));
        callout.is_some_and(|callout| now < callout.deadline || callout.ends_at_tick(self.host))
    }
}
