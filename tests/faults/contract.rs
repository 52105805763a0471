//! The cells of the matrix: each service with each fault, what was known before, what a
//! client does, and how it speaks. How each has to end is in [`crate::outcome`].

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
    /// The key set of a transmitter of security events.
    EventKeys,
    /// A transmitter's document, that says where its key set is.
    EventDiscovery,
    /// A key set that such a document leads to.
    DiscoveredEventKeys,
    /// Who is told what logouts and events revoke.
    Forward,
}

impl Service {
    pub const ALL: [Self; 11] = [
        Self::Keys,
        Self::Discovery,
        Self::DiscoveredKeys,
        Self::Users,
        Self::Introspection,
        Self::Feed,
        Self::Login,
        Self::EventKeys,
        Self::EventDiscovery,
        Self::DiscoveredEventKeys,
        Self::Forward,
    ];

    /// Whether each of its groups is an issuer with keys that are fetched.
    pub const fn is_of_keys(self) -> bool {
        matches!(self, Self::Keys | Self::Discovery | Self::DiscoveredKeys)
    }

    /// Whether each of its groups is a transmitter with keys that are fetched.
    pub const fn is_of_events(self) -> bool {
        matches!(self, Self::EventKeys | Self::EventDiscovery | Self::DiscoveredEventKeys)
    }

    /// Whether it is asked only on behalf of those who tell of logouts and events.
    pub const fn is_of_signals(self) -> bool {
        self.is_of_events() || matches!(self, Self::Forward)
    }

    /// What it is, whoever has it: keys are keys.
    pub const fn kind(self) -> Self {
        match self {
            Self::DiscoveredKeys | Self::EventKeys | Self::DiscoveredEventKeys => Self::Keys,
            Self::EventDiscovery => Self::Discovery,
            other => other,
        }
    }

    /// What is said when it is needed and not to be had.
    pub const fn unavailable(self) -> &'static str {
        match self.kind() {
            Self::Users => "user_info_unavailable",
            Self::Introspection => "introspection_unavailable",
            Self::Feed | Self::Forward => "revocation_unavailable",
            Self::Login => "login_unavailable",
            _ => "keys_unavailable",
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
    /// A transmitter sends an event about a user.
    Event,
    /// An issuer tells of a user's logout.
    Logout,
}

impl Visit {
    pub const ALL: [Self; 8] = [
        Self::Required,
        Self::AllowMissing,
        Self::AllowMissingWithout,
        Self::Bypass,
        Self::Revoked,
        Self::Login,
        Self::Event,
        Self::Logout,
    ];

    pub const fn path(self) -> &'static str {
        match self {
            Self::Required | Self::Revoked => "/orders",
            Self::AllowMissing | Self::AllowMissingWithout => "/catalog",
            Self::Bypass => "/open",
            Self::Login => "/login",
            Self::Event => "/.well-known/gatepass/events",
            Self::Logout => "/.well-known/gatepass/backchannel-logout",
        }
    }

    /// Whether it is one of those who tell of logouts and events.
    pub const fn is_signal(self) -> bool {
        matches!(self, Self::Event | Self::Logout)
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
        let has_owner = matches!(service.kind(), Service::Users | Service::Discovery);
        let of_another = has_owner.then_some(Fault::OfAnother);
        Fault::ALL.into_iter().chain(of_another).map(move |fault| (service, fault))
    });
    let all = with_faults.flat_map(|(service, fault)| {
        State::ALL.into_iter().map(move |state| Group { service, fault, state })
    });
    // Nothing is known of a login before, nor of who else is told.
    let is_asked_anew = |service| matches!(service, Service::Login | Service::Forward);
    all.filter(move |group| !is_asked_anew(group.service) || group.state == State::Cold)
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
                Visit::Event => group.service.is_of_signals(),
                Visit::Logout => group.service == Service::Forward,
                // Of whose users these are not asked about anything.
                Visit::Required => group.service != Service::Login,
                _ => group.service != Service::Login && !group.service.is_of_signals(),
            }
        });
        visits.flat_map(move |visit| {
            let protocols = Protocol::ALL.into_iter();
            // Browsers log in, and they speak no gRPC; nor do those who tell of logouts.
            let is_http = visit == Visit::Login || visit.is_signal();
            let protocols =
                protocols.filter(move |protocol| !is_http || *protocol == Protocol::Http);
            protocols.map(move |protocol| Cell { group, visit, protocol })
        })
    };
    groups().flat_map(in_group)
}
