//! The callouts under way: who asks what, since when, and who waits for it.
//!
//! Requests that ask the same share a flight where the host lets one of them
//! resume the others.

use std::collections::HashMap;
use std::rc::Rc;

use crate::callout::{Callout, Service};
use crate::gateway::HostTraits;
use crate::revocation::ListId;
use crate::secret::Secret;
use crate::time::{Span, UnixTime};
use crate::token::ProviderId;
use crate::user_info::UserKey;

/// A callout to be sent, and the flight by which its reply is known.
#[derive(Debug)]
pub struct Sent {
    /// What [`land`](crate::gateway::Gateway::land) takes with the reply.
    pub flight: FlightId,
    /// The callout.
    pub callout: Callout,
}

/// Identifies a callout under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlightId(u64);

/// What a callout is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Keys(ProviderId),
    /// The same keys as a fetch under way: for a request that cannot be resumed
    /// by that one.
    KeysAgain(ProviderId),
    UserInfo(UserKey),
    Introspection(Secret<Box<[u8]>>),
    /// The feed of a list of tokens.
    Tokens(ListId),
    /// A client's request to the login at this position.
    Login(usize),
}

/// The callouts under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    next: u64,
    open: HashMap<FlightId, Flight>,
    /// The latest flight for each purpose.
    latest: HashMap<Purpose, FlightId>,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub purpose: Purpose,
    /// When the token ends for whose sake it was sent.
    pub token_end: Option<UnixTime>,
    /// Who is asked, and since when.
    pub service: Rc<Service>,
    pub sent: UnixTime,
    sender: Sender,
    deadline: UnixTime,
}

impl Flight {
    /// Whether a tick can end it. A request that nobody else can resume waits
    /// until its host says that its callout is over, however late that is.
    fn ends_at_tick(&self, host: HostTraits) -> bool {
        host.resumes_others || self.sender == Sender::Tick
    }
}

/// In whose callback a callout is sent, and its reply arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Request,
    Tick,
}

/// How long after a service's time-out a reply is given up for lost. The host
/// reports time-outs itself; this is for hosts that do not, or late.
const GRACE: Span = Span::from_secs(2);

impl Flights {
    /// Notes a callout that is about to be sent.
    pub(crate) fn open(
        &mut self,
        purpose: Purpose,
        callout: Callout,
        token_end: Option<UnixTime>,
        sender: Sender,
        now: UnixTime,
    ) -> Sent {
        let flight = FlightId(self.next);
        self.next = self.next.wrapping_add(1);
        let deadline = now.plus(callout.service.timeout).plus(GRACE);
        self.latest.insert(purpose.clone(), flight);
        let service = Rc::clone(&callout.service);
        let opened = Flight { purpose, token_end, service, sent: now, sender, deadline };
        self.open.insert(flight, opened);
        Sent { flight, callout }
    }

    /// The flight that asks the same.
    pub(crate) fn find(&self, purpose: &Purpose) -> Option<FlightId> {
        self.latest.get(purpose).copied()
    }

    /// How many ask this.
    pub(crate) fn count(&self, purpose: &Purpose) -> usize {
        self.open.values().filter(|flight| flight.purpose == *purpose).count()
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn close(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.open.remove(&id)?;
        if self.latest.get(&flight.purpose) == Some(&id) {
            self.latest.remove(&flight.purpose);
        }
        Some(flight)
    }

    pub(crate) fn overdue(&self, host: HostTraits, now: UnixTime) -> Vec<FlightId> {
        let is_overdue = |flight: &Flight| now >= flight.deadline && flight.ends_at_tick(host);
        self.open.iter().filter(|(_, flight)| is_overdue(flight)).map(|(id, _)| *id).collect()
    }

    /// Whether a flight asks the same, and is not one that may take for ever.
    pub(crate) fn is_awaited(&self, purpose: &Purpose, host: HostTraits, now: UnixTime) -> bool {
        let flight = self.find(purpose).and_then(|id| self.open.get(&id));
        flight.is_some_and(|flight| now < flight.deadline || flight.ends_at_tick(host))
    }
}
