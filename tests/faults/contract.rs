//! What the contract says of each cell of the matrix: the manual, and the standards
//! that it builds on.
//!
//! Written apart from the filter: [`expected`] knows the fault, the service, what
//! was known before, the rule and the protocol, and names the clause that decides.

use std::fmt;

use crate::fault::Fault;

/// A service that the filter depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    Keys,
    /// An issuer's document, that says where its key set is.
    Discovery,
    /// A key set that such a document leads to.
    DiscoveredKeys,
    Users,
    Introspection,
    Feed,
    /// Where browsers log in: it gets their request and gives tokens to be sealed.
    Login,
}

impl Service {
    pub const ALL: [Self; 7] = [
        Self::Keys,
        Self::Discovery,
        Self::DiscoveredKeys,
        Self::Users,
        Self::Introspection,
        Self::Feed,
        Self::Login,
    ];

    /// Whether each of its groups is an issuer with keys that are fetched.
    pub const fn is_of_keys(self) -> bool {
        matches!(self, Self::Keys | Self::Discovery | Self::DiscoveredKeys)
    }

    /// What is said when it is needed and not to be had.
    const fn unavailable(self) -> &'static str {
        match self {
            Self::Keys | Self::Discovery | Self::DiscoveredKeys => "keys_unavailable",
            Self::Users => "user_info_unavailable",
            Self::Introspection => "introspection_unavailable",
            Self::Feed => "revocation_unavailable",
            Self::Login => "login_unavailable",
        }
    }
}

/// What the filter learned of the service before that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing, ever.
    Cold,
    /// An answer that is current.
    Warm,
    /// An answer that is not current any more, and may serve while the service
    /// fails where there is such a time.
    Stale,
    /// An answer that must not be used any more: that time is over too, or, for a
    /// reference token, the token's own.
    Expired,
}

impl State {
    pub const ALL: [Self; 4] = [Self::Cold, Self::Warm, Self::Stale, Self::Expired];
}

/// What the client does, and what its path's rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Visit {
    /// A token is required; a good one is sent.
    Required,
    /// `allow_missing`, with a good token.
    AllowMissing,
    /// `allow_missing`, without a token.
    AllowMissingWithout,
    /// `bypass`, with a good token.
    Bypass,
    /// A token is required; one is sent that the feed revokes.
    Revoked,
    /// A login.
    Login,
}

impl Visit {
    pub const ALL: [Self; 6] = [
        Self::Required,
        Self::AllowMissing,
        Self::AllowMissingWithout,
        Self::Bypass,
        Self::Revoked,
        Self::Login,
    ];

    pub const fn path(self) -> &'static str {
        match self {
            Self::Required | Self::Revoked => "/orders",
            Self::AllowMissing | Self::AllowMissingWithout => "/catalog",
            Self::Bypass => "/open",
            Self::Login => "/login",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// gRPC, over HTTP/2.
    Grpc,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Http, Self::Grpc];
}

/// A service with a fault, and what was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    pub service: Service,
    pub fault: Fault,
    pub state: State,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}.{:?}", self.service, self.fault.name(), self.state)
    }
}

impl Group {
    /// The group that a name begins with.
    pub fn of(name: &str) -> Option<Self> {
        let mut parts = name.split('.');
        let (service, fault, state) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            service: Service::ALL.into_iter().find(|other| format!("{other:?}") == service)?,
            fault: Fault::from_name(fault)?,
            state: State::ALL.into_iter().find(|other| format!("{other:?}") == state)?,
        })
    }

    /// Whether the filter has any reason to ask the service.
    pub fn is_asked(self) -> bool {
        self.state != State::Warm
    }
}

/// Every service with every fault and state that make sense.
pub fn groups() -> impl Iterator<Item = Group> {
    let services = Service::ALL.into_iter();
    let with_faults = services.flat_map(|service| {
        // Only a user's record and an issuer's document say whose they are: keys and
        // lists are nobody's, and an introspected token belongs to whom the issuer names.
        let has_owner = matches!(service, Service::Users | Service::Discovery);
        let of_another = has_owner.then_some(Fault::OfAnother);
        Fault::ALL.into_iter().chain(of_another).map(move |fault| (service, fault))
    });
    let all = with_faults.flat_map(|(service, fault)| {
        State::ALL.into_iter().map(move |state| Group { service, fault, state })
    });
    // Nothing is known of a login before.
    all.filter(|group| group.service != Service::Login || group.state == State::Cold)
}

/// One request at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    pub group: Group,
    pub visit: Visit,
    pub protocol: Protocol,
}

impl fmt::Display for Cell {
    /// Also the subject of the cell's token, so that each has its own user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:?}.{:?}", self.group, self.visit, self.protocol)
    }
}

pub fn cells() -> impl Iterator<Item = Cell> {
    let in_group = |group: Group| {
        let visits = Visit::ALL.into_iter().filter(move |visit| {
            match visit {
                Visit::Login => group.service == Service::Login,
                // Nothing else revokes.
                Visit::Revoked => group.service == Service::Feed,
                _ => group.service != Service::Login,
            }
        });
        visits.flat_map(move |visit| {
            let protocols = Protocol::ALL.into_iter();
            // Browsers log in, and they speak no gRPC.
            let protocols = protocols
                .filter(move |protocol| visit != Visit::Login || *protocol == Protocol::Http);
            protocols.map(move |protocol| Cell { group, visit, protocol })
        })
    };
    groups().flat_map(in_group)
}

/// The country in a user's record before services fail, and while they do: it
/// tells which of its answers a service is quoted with.
pub const BEFORE: &str = "ES";
pub const MEANWHILE: &str = "FR";

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It reaches the upstream with the identity of its user and this country.
    Identified {
        country: &'static str,
    },
    /// It reaches the upstream as anonymous.
    Anonymous,
    /// It reaches the upstream without identity.
    Bypassed,
    Denied {
        status: u16,
        code: &'static str,
    },
    /// The login's service answers, with no token but a sealed one.
    LoggedIn {
        status: u16,
    },
}

impl Outcome {
    pub const fn reaches_upstream(self) -> bool {
        !matches!(self, Self::Denied { .. } | Self::LoggedIn { .. })
    }

    /// The `grpc-status` of a denial.
    pub fn grpc_status(status: u16) -> &'static str {
        match status {
            401 => "16",
            403 => "7",
            503 => "14",
            other => panic!("no denial of these has status {other}"),
        }
    }
}

/// What a service that was asked said, as the contract takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// A complete answer.
    Answer,
    /// That there is no such user.
    NoSuchUser,
    /// Nothing that can be used.
    Failure,
}

/// The word that a fault comes to, and by which clause.
const fn word(service: Service, fault: Fault) -> (Word, &'static str) {
    match (service, fault) {
        (_, Fault::SlowQuarter) => (Word::Answer, "within the timeout_ms of services"),
        (_, Fault::Continue | Fault::EarlyHints) => {
            (Word::Answer, "an interim response is followed by the final one (RFC 9110 15.2)")
        }
        (_, Fault::OtherMediaType) => (Word::Answer, "what counts is that it is a JSON object"),
        (Service::Users, Fault::Status(404 | 410)) => {
            (Word::NoSuchUser, "404 and 410 say that there is no such user")
        }
        (Service::Users, Fault::Status(203)) => {
            (Word::Answer, "2xx with a JSON object is an answer")
        }
        (Service::Users, Fault::OfAnother) => {
            (Word::Failure, "sub must equal the token's (subject_pointer)")
        }
        (Service::Discovery, Fault::OfAnother) => {
            (Word::Failure, "issuer must be the provider's (Discovery 4.3)")
        }
        (
            _,
            Fault::Refused
            | Fault::Vanished
            | Fault::Reset
            | Fault::Closed
            | Fault::CutHead
            | Fault::ResetMidBody
            | Fault::Truncated
            | Fault::ChunksEnd
            | Fault::NoHttp
            | Fault::SwitchingProtocols,
        ) => (Word::Failure, "no reply"),
        (_, Fault::Hang | Fault::HangMidBody | Fault::Drip | Fault::SlowDouble) => {
            (Word::Failure, "later than the timeout_ms of services")
        }
        (_, Fault::Status(206) | Fault::Empty | Fault::HalfJson | Fault::Html | Fault::NotUtf8) => {
            (Word::Failure, "not JSON")
        }
        (
            Service::Keys | Service::Discovery | Service::DiscoveredKeys,
            Fault::Status(301 | 302),
        ) => (Word::Answer, "a redirect to the same service is followed"),
        (_, Fault::Status(_)) => (Word::Failure, "a status that is no answer (RFC 7662 2.2)"),
        (_, Fault::Array) => (Word::Failure, "not a JSON object"),
        (_, Fault::Huge) => (Word::Failure, "over limits.max_reply_bytes"),
        (_, Fault::ManyFields) => (Word::Failure, "more fields than the proxy takes"),
        (_, Fault::Deep | Fault::Repeated) => {
            (Word::Failure, "not JSON that all read alike (RFC 8259 4, 9)")
        }
        (_, Fault::Incomplete | Fault::OtherType | Fault::OfAnother) => {
            (Word::Failure, "what matters is missing (required; RFC 7517 5, RFC 7662 2.2)")
        }
    }
}

/// How a login ends.
fn login(fault: Fault) -> (Outcome, &'static str) {
    let says = |status| Outcome::LoggedIn { status };
    match (fault, word(Service::Login, fault)) {
        (Fault::Status(206), (_, clause)) => (UNSEALED, clause),
        (Fault::Status(502..=504), _) => (UNSEALED, "502, 503 and 504 are no answers of its own"),
        (Fault::Status(status), _) => (says(status), "its other answers are returned"),
        (Fault::Empty | Fault::Html, _) => (says(200), "no token is in it"),
        (Fault::Incomplete | Fault::OtherType, _) => (says(200), "no token is in it"),
        (_, (Word::Answer, clause)) => (says(200), clause),
        (_, (_, clause)) => (UNSEALED, clause),
    }
}

/// What comes of a reply that cannot be searched for tokens, or of none.
const UNSEALED: Outcome = Outcome::Denied { status: 503, code: Service::Login.unavailable() };

/// How a cell has to end, and by which clause of the contract.
pub fn expected(cell: Cell) -> (Outcome, &'static str) {
    let Cell { group: Group { service, fault, state }, visit, .. } = cell;
    match visit {
        Visit::Bypass => return (Outcome::Bypassed, "bypass asks for nothing"),
        Visit::AllowMissingWithout => {
            return (Outcome::Anonymous, "without a token nothing is needed (allow_missing)");
        }
        Visit::Login => return login(fault),
        // A token that is sent is checked, whether or not it could be missing.
        Visit::Required | Visit::AllowMissing | Visit::Revoked => {}
    }
    let known = if visit == Visit::Revoked {
        Outcome::Denied { status: 401, code: "token_revoked" }
    } else {
        Outcome::Identified { country: BEFORE }
    };
    let unavailable = Outcome::Denied { status: 503, code: service.unavailable() };
    if state == State::Warm {
        return (known, "an answer that is current is not asked for again");
    }
    match (word(service, fault), service, state) {
        // The answer is about a token whose time is over.
        ((Word::Answer, clause), Service::Introspection, State::Expired) => {
            (Outcome::Denied { status: 401, code: "token_expired" }, clause)
        }
        ((Word::Answer, clause), Service::Users, _) => {
            (Outcome::Identified { country: MEANWHILE }, clause)
        }
        ((Word::Answer, clause), ..) => (known, clause),
        ((Word::NoSuchUser, clause), ..) => {
            (Outcome::Denied { status: 403, code: "user_unknown" }, clause)
        }
        // An answer about a token is never used beyond its time.
        ((Word::Failure, clause), Service::Introspection, _) => (unavailable, clause),
        ((Word::Failure, _), Service::Users, State::Stale) => (known, "stale_if_error_seconds"),
        ((Word::Failure, _), _, State::Stale) => (known, "max_stale_seconds"),
        ((Word::Failure, clause), ..) => (unavailable, clause),
    }
}
