//! Transaction tokens (draft-ietf-oauth-transaction-tokens): an identity token for a
//! single request.
//!
//! A receiver may accept each `txn` only once, so a token is signed per request and
//! never cached. The gateway generates the `txn`: a client can choose its request id,
//! and so could make another token look like a replay. The request id is in `rctx`, for
//! correlation.

use std::net::IpAddr;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::claims::{ClaimSet, WriteMembers};
use crate::http::RequestHead;
use crate::json::{self, Document};
use crate::token::Verified;

/// `typ` of transaction tokens.
pub const TXN_TOKEN_TYPE: &str = "txntoken+jwt";

/// A longer path is omitted: it would have to fit into a header, and a truncated path is
/// another path.
const MAX_PATH: usize = 1024;

/// Claims that stay beside `tctx`, defined by the draft, RFC 7519 or RFC 8693: those that
/// are written before `rctx`, in alphabetical order.
const REGISTERED_FIRST: &[&str] = &["act", "aud", "client_id", "iss"];

/// Those that are written after `rctx`, in alphabetical order.
const REGISTERED_LAST: &[&str] = &["scope", "sub"];

/// The kind of token for services: `profile` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The gateway's own kind, which is reused for several requests.
    Identity,
    /// A transaction token.
    Transaction {
        /// `req_wl`: the workload that requested the token, which is the gateway.
        requesting_workload: String,
    },
}

/// The context of a request: `rctx`. None of it was verified; it is as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The method.
    pub method: Option<String>,
    /// The path as received, without the query, which may contain secrets.
    pub path: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The host's id of the request.
    pub request_id: Option<String>,
}

impl Profile {
    /// Whether it is for a single request.
    pub const fn is_transaction(&self) -> bool {
        matches!(self, Self::Transaction { .. })
    }
}

impl RequestContext {
    /// The context of a request, with what the host knows about it.
    pub fn of(head: &RequestHead, address: Option<IpAddr>, request_id: Option<String>) -> Self {
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let path = head.target().path;
        let path = text(path).filter(|path| path.len() <= MAX_PATH);
        Self { method: text(head.method()), path, address, request_id }
    }

    pub(super) fn claim(self) -> Value {
        let members = [
            ("method", self.method),
            ("path", self.path),
            ("req_ip", self.address.map(|address| address.to_string())),
            ("request_id", self.request_id),
        ];
        let members = members.into_iter();
        let member = |(name, value): (&str, Option<String>)| Some((name.to_owned(), value?.into()));
        Value::Object(json::object(members.filter_map(member)))
    }
}

/// Adds the members of `origin` by which revocations select the public token. They are
/// read when a service presents the transaction token for replacement.
///
/// Without the `jti` of an introspected token: for some issuers that is the token itself,
/// which services must not get.
pub(super) fn add_revoked_by(
    claims: &mut ClaimSet<'_>,
    token: &Verified,
    public: &Document,
    is_introspected: bool,
) {
    let Some(Value::Object(origin)) = claims.get_mut("origin") else { return };
    let members = token.revoked_by(public).into_iter();
    let members = members.filter(|(name, _)| *name != "jti" || !is_introspected);
    origin.extend(members.map(|(name, value)| (name.to_owned(), value)));
}

/// The claims of a transaction token: those of an identity token, with all of the
/// gateway's statements about the user moved into `tctx`.
pub(super) struct TransactionClaims<'a> {
    /// The claims of an identity token, whose `jti` is the `txn` here.
    pub identity: &'a ClaimSet<'a>,
    /// `req_wl`.
    pub requesting_workload: &'a str,
    /// `rctx`.
    pub context: Value,
}

/// `tctx`.
struct TransactionContext<'a>(&'a ClaimSet<'a>);

impl Serialize for TransactionContext<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stays =
            |name: &str| REGISTERED_FIRST.contains(&name) || REGISTERED_LAST.contains(&name);
        let moved = |name: &str| name != "jti" && !stays(name);
        serializer.collect_map(self.0.iter(moved))
    }
}

impl WriteMembers for TransactionClaims<'_> {
    /// In the order of their names.
    fn write<M: SerializeMap>(&self, object: &mut M) -> Result<(), M::Error> {
        let registered = |object: &mut M, names: &[&str]| {
            let mut claims = self.identity.iter(|name| names.contains(&name));
            claims.try_for_each(|(name, value)| object.serialize_entry(name, &value))
        };
        registered(object, REGISTERED_FIRST)?;
        object.serialize_entry("rctx", &self.context)?;
        object.serialize_entry("req_wl", self.requesting_workload)?;
        registered(object, REGISTERED_LAST)?;
        object.serialize_entry("tctx", &TransactionContext(self.identity))?;
        self.identity.get("jti").map_or(Ok(()), |id| object.serialize_entry("txn", &id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_claims_are_in_alphabetical_order_around_the_request() {
        let names = [REGISTERED_FIRST, &["rctx", "req_wl"], REGISTERED_LAST, &["tctx", "txn"]];
        assert!(names.concat().is_sorted());
    }
}
