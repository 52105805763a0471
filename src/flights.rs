//! The callouts in flight: what each asks, since when, and for whom.
//!
//! Requests that ask the same share a flight where the host lets one of them
//! resume the others.

use std::collections::HashMap;
use std::rc::Rc;

use crate::callout::{Callout, Service};
use crate::gateway::{Answers, HostTraits};
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

/// Identifies a callout in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlightId(u64);

/// What a callout is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Keys(ProviderId),
    /// The same keys as a fetch in flight: for a request that cannot be resumed
    /// by that one.
    KeysAgain(ProviderId),
    UserInfo(UserKey),
    Introspection(Secret<Box<[u8]>>),
    /// The feed of a list of tokens.
    Tokens(ListId),
    /// A client's request to the login at this position.
    Login(usize),
}

/// How many requests at once fetch what another one is fetching already: enough
/// for those that come in the moment a worker starts, and no burden for a service
/// that is slow.
const MAX_DUPLICATES: usize = 100;

/// How many callouts may be in flight before no more reference tokens are asked
/// about: made-up ones cost a client nothing.
const MAX_CALLOUTS: usize = 1000;

impl Purpose {
    /// How many answers a request waits for: one, but a provider's keys may come
    /// in two steps, the second after a discovery document.
    pub(crate) const fn most_answers(&self) -> usize {
        match self {
            Self::Keys(_) | Self::KeysAgain(_) => 2,
            _ => 1,
        }
    }

    /// Whether one reply serves all requests that ask this.
    const fn is_shared(&self) -> bool {
        !matches!(self, Self::Login(_))
    }
}

/// What became of the wish for a callout.
#[derive(Debug)]
pub(crate) enum Requested {
    /// One in flight asks the same.
    Joined(FlightId),
    /// A new one is to be sent.
    Opened(Sent),
}

/// The callouts in flight.
#[derive(Debug)]
pub(crate) struct Callouts {
    host: HostTraits,
    next: u64,
    open: HashMap<FlightId, Flight>,
    /// The latest flight for each purpose.
    latest: HashMap<Rc<Purpose>, FlightId>,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub purpose: Rc<Purpose>,
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
enum Sender {
    Request,
    Tick,
}

/// How long after a service's timeout a missing reply counts as failed. The host
/// reports timeouts itself; this is for hosts that do not, or late.
const GRACE: Span = Span::from_secs(2);

impl Callouts {
    pub(crate) fn new(host: HostTraits) -> Self {
        Self { host, next: 0, open: HashMap::new(), latest: HashMap::new() }
    }

    /// A callout for a request that has `answers` already: joins the one in
    /// flight that asks the same, or opens the one that `make` gives. `None` if
    /// `make` gives none, if there are too many, or if the request has all the
    /// answers there can be.
    pub(crate) fn request(
        &mut self,
        purpose: Purpose,
        answers: &Answers,
        token_end: Option<UnixTime>,
        now: UnixTime,
        make: impl FnOnce() -> Option<Callout>,
    ) -> Option<Requested> {
        if answers.have_all(&purpose) {
            return None;
        }
        if self.host.resumes_others
            && purpose.is_shared()
            && let Some(flight) = self.find(&purpose)
        {
            return Some(Requested::Joined(flight));
        }
        if !self.has_room(&purpose) {
            return None;
        }
        let callout = make()?;
        Some(Requested::Opened(self.open(purpose, callout, token_end, Sender::Request, now)))
    }

    /// A callout that no request waits for yet.
    pub(crate) fn open_at_tick(
        &mut self,
        purpose: Purpose,
        callout: Callout,
        now: UnixTime,
    ) -> Sent {
        self.open(purpose, callout, None, Sender::Tick, now)
    }

    fn open(
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
        let (purpose, service) = (Rc::new(purpose), Rc::clone(&callout.service));
        self.latest.insert(Rc::clone(&purpose), flight);
        let opened = Flight { purpose, token_end, service, sent: now, sender, deadline };
        self.open.insert(flight, opened);
        Sent { flight, callout }
    }

    fn has_room(&self, purpose: &Purpose) -> bool {
        match purpose {
            Purpose::Keys(_) | Purpose::UserInfo(_) => true,
            Purpose::KeysAgain(_) | Purpose::Tokens(_) => {
                let same = self.open.values().filter(|flight| *flight.purpose == *purpose);
                same.count() < MAX_DUPLICATES
            }
            Purpose::Introspection(_) | Purpose::Login(_) => self.open.len() < MAX_CALLOUTS,
        }
    }

    fn find(&self, purpose: &Purpose) -> Option<FlightId> {
        self.latest.get(purpose).copied()
    }

    /// Whether a callout in flight asks this.
    pub(crate) fn is_in_flight(&self, purpose: &Purpose) -> bool {
        self.latest.contains_key(purpose)
    }

    /// How many are in flight.
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

    /// The flights whose reply will not come any more. One that was sent in the
    /// future, before the clock was set back, has its whole time from now on: it
    /// is not lost for that, and not waited for until then.
    pub(crate) fn overdue(&mut self, now: UnixTime) -> Vec<FlightId> {
        for flight in self.open.values_mut().filter(|flight| now < flight.sent) {
            flight.sent = now;
            flight.deadline = now.plus(flight.service.timeout).plus(GRACE);
        }
        let is_overdue = |flight: &Flight| now >= flight.deadline && flight.ends_at_tick(self.host);
        self.open.iter().filter(|(_, flight)| is_overdue(flight)).map(|(id, _)| *id).collect()
    }

    /// Whether a flight asks the same, and is not one that may take for ever.
    pub(crate) fn is_awaited(&self, purpose: &Purpose, now: UnixTime) -> bool {
        let flight = self.find(purpose).and_then(|id| self.open.get(&id));
        flight.is_some_and(|flight| now < flight.deadline || flight.ends_at_tick(self.host))
    }
}
