//! Transaction tokens (draft-ietf-oauth-transaction-tokens): an identity token for a
//! single request.
//!
//! A receiver may accept each `txn` only once, so a token is signed per request and
//! never cached. The gateway generates the `txn`: a client can choose its request id,
//! and so could make another token look like a replay. The request id is in `rctx`, for
//! correlation.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::http::RequestHead;
use crate::json;
use crate::token::Verified;

/// `typ` of transaction tokens.
pub const TXN_TOKEN_TYPE: &str = "txntoken+jwt";

/// A longer path is omitted: it would have to fit into a header, and a truncated path is
/// another path.
const MAX_PATH: usize = 1024;

/// Claims that stay beside `tctx`: those defined by the draft, by RFC 7519 and by RFC
/// 8693.
const REGISTERED: [&str; 6] = ["iss", "sub", "aud", "scope", "client_id", "act"];

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

/// The members of `origin` by which revocations select the public token. They are read
/// when a service presents the transaction token for replacement.
///
/// Without the `jti` of an introspected token: for some issuers that is the token itself,
/// which services must not get.
pub(super) fn revoked_by(token: &Verified, is_introspected: bool) -> Vec<(String, Value)> {
    let members = token.revoked_by().into_iter();
    let members = members.filter(|(name, _)| *name != "jti" || !is_introspected);
    members.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The claims of a transaction token: those of an identity token, with all of the
/// gateway's statements about the user moved into `tctx`.
pub(super) fn claims(
    mut identity: Map<String, Value>,
    requesting_workload: &str,
    context: Value,
) -> Map<String, Value> {
    let mut claims = Map::new();
    for name in REGISTERED {
        if let Some(value) = identity.remove(name) {
            claims.insert(name.to_owned(), value);
        }
    }
    if let Some(id) = identity.remove("jti") {
        claims.insert("txn".to_owned(), id);
    }
    claims.insert("req_wl".to_owned(), json!(requesting_workload));
    claims.insert("rctx".to_owned(), context);
    claims.insert("tctx".to_owned(), Value::Object(identity));
    claims
}
