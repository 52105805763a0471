//! What the contract says of each cell of the matrix: the manual, and the standards
//! that it builds on.
//!
//! Written apart from the filter: [`expected`] knows the fault, the service, what
//! was known before, the rule and the protocol, and names the clause that decides.

use crate::contract::{Cell, Group, Service, State, Visit};
use crate::fault::Fault;

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
    /// What a logout or an event revokes is revoked.
    Accepted {
        status: u16,
    },
    /// Who told of a logout shall tell again.
    Again {
        code: &'static str,
    },
}

impl Outcome {
    pub const fn reaches_upstream(self) -> bool {
        matches!(self, Self::Identified { .. } | Self::Anonymous | Self::Bypassed)
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
        (Service::Forward, Fault::Status(200..=299)) => (Word::Answer, "2xx, whatever it says"),
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
        (
            Service::Forward,
            Fault::Empty
            | Fault::HalfJson
            | Fault::Html
            | Fault::NotUtf8
            | Fault::Array
            | Fault::Deep
            | Fault::Repeated
            | Fault::Incomplete
            | Fault::OtherType,
        ) => (Word::Answer, "2xx, whatever it says"),
        (_, Fault::Status(206) | Fault::Empty | Fault::HalfJson | Fault::Html | Fault::NotUtf8) => {
            (Word::Failure, "not JSON")
        }
        (Service::Keys | Service::Discovery, Fault::Status(301 | 302)) => {
            (Word::Answer, "a redirect to the same service is followed")
        }
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

/// How what a transmitter or an issuer tells ends, where the service that is asked is `service`.
fn signal(cell: Cell) -> (Outcome, &'static str) {
    let Cell { group: Group { service, fault, state }, visit, .. } = cell;
    let status = if visit == Visit::Event { 202 } else { 200 };
    let accepted = Outcome::Accepted { status };
    let code = service.unavailable();
    let failed = match visit {
        Visit::Event => Outcome::Denied { status: 503, code },
        _ => Outcome::Again { code },
    };
    match (word(service.kind(), fault), state) {
        (_, State::Warm) => (accepted, "keys that are current are not asked for again"),
        ((Word::Answer, clause), _) => (accepted, clause),
        (_, State::Stale) => (accepted, "max_stale_seconds"),
        ((_, clause), _) => (failed, clause),
    }
}

/// How a request ends with a token that its user had before a logout or an event was told.
pub fn after(cell: Cell) -> Option<(Outcome, &'static str)> {
    if !cell.visit.is_signal() {
        return None;
    }
    let is_accepted = matches!(expected(cell).0, Outcome::Accepted { .. });
    Some(if is_accepted || cell.group.service == Service::Forward {
        let revoked = Outcome::Denied { status: 401, code: "token_revoked" };
        (revoked, "it holds here before anybody else is told")
    } else {
        (Outcome::Identified { country: BEFORE }, "what nobody could verify revokes nothing")
    })
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
        Visit::Event | Visit::Logout => return signal(cell),
        Visit::Required if service.is_of_signals() => {
            let known = Outcome::Identified { country: BEFORE };
            return (known, "users need nothing of those who tell of logouts");
        }
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
    match (word(service.kind(), fault), service, state) {
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
