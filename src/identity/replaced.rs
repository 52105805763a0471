//! Transaction tokens that replace others: an internal service calls another one through
//! the gateway, within the same transaction (draft-ietf-oauth-transaction-tokens,
//! "Txn-Token as a subject_token").
//!
//! A replacement contains the same as the token before, or less. Nothing is queried or
//! added except the workload that requested it.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::claims::ClaimSet;
use super::transaction::TXN_TOKEN_TYPE;
use super::{Enrichment, Minter, is_reserved};
use crate::json::{self, Document, Json, Members};
use crate::keys::Crypto;
use crate::overrides::TemplateKey;
use crate::time::UnixTime;
use crate::token::{OwnTokens, Providers, Rejection, Scopes, Untrusted, Verified};
use crate::user_info::UserInfo;

/// The longest chain of requesting workloads: a transaction cannot loop forever.
const MAX_CHAIN: usize = 16;

/// A verified transaction token that a service presented.
#[derive(Debug)]
pub struct Replaced {
    /// All its claims.
    claims: Document,
    /// The requesting workloads so far, in order, its own last.
    chain: Vec<String>,
    expires: UnixTime,
}

impl Replaced {
    fn new(claims: Map<String, Value>, expires: UnixTime) -> Result<Self, Rejection> {
        let malformed = || Rejection::ClaimMismatch("rctx.chain".into());
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(malformed);
        let before = claims.get("rctx").and_then(|context| context.get("chain"));
        let before = before.map_or(Some(&[][..]), |it| it.as_array().map(Vec::as_slice));
        let workloads = before.ok_or_else(malformed)?.iter().chain(claims.get("req_wl"));
        let chain: Vec<_> = workloads.map(text).collect::<Result<_, _>>()?;
        if chain.len() > MAX_CHAIN {
            return Err(malformed());
        }
        Ok(Self { claims: Document::of(&claims), chain, expires })
    }

    /// `txn`, which never changes.
    pub(super) fn txn(&self) -> String {
        self.claims.get("txn").and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    /// `tctx.consumer`.
    pub fn consumer(&self) -> Option<Value> {
        self.claims.get("tctx")?.get("consumer").map(Json::to_value)
    }

    /// The user info in the token. The user service is not queried again.
    pub fn enrichment(&self, minter: &Minter) -> Enrichment {
        let claims = &self.claims;
        let context = claims.get("tctx").and_then(Json::as_object);
        if context.is_some_and(|context| context.contains_key("enrichment")) {
            return Enrichment::None;
        }
        let told = minter.user_claims.names().filter_map(|name| {
            let value = context?.get(name)?;
            Some((name.clone(), value.to_value()))
        });
        Enrichment::Known(Rc::new(UserInfo::from_token(json::object(told))), self.expires)
    }

    /// The claims of the replacement, in the form of an identity token's, with the `txn`
    /// as `jti`. `scopes` are a subset of its own.
    // draft-ietf-oauth-transaction-tokens: "MUST NOT modify `txn`, `sub`, and `aud` values
    // of the Txn-Token in the request" (R83)
    pub(super) fn identity(&self, template: &TemplateKey, scopes: &Scopes) -> ClaimSet<'static> {
        let claims = &self.claims;
        let context = claims.get("tctx").and_then(Json::as_object);
        let mut told = context.map(Members::to_map).unwrap_or_default();
        told.retain(|name, _| template.keeps(name) || is_reserved(name));
        for name in ["iss", "sub", "aud", "client_id", "act"] {
            told.extend(claims.get(name).map(|value| (name.to_owned(), value.to_value())));
        }
        let mut told = ClaimSet::from(told);
        told.set("jti", self.txn());
        told.set("scope", scopes.as_str().to_owned());
        told
    }

    /// `rctx`: that of the request which began the transaction, and the workloads that
    /// requested tokens since.
    pub(super) fn context(&self) -> Value {
        let claims = &self.claims;
        let context = claims.get("rctx").and_then(Json::as_object);
        let mut context = context.map(Members::to_map).unwrap_or_default();
        context.insert("chain".into(), json!(self.chain));
        Value::Object(context)
    }
}

impl Minter {
    /// Verifies a transaction token that may be one of the gateway's own.
    pub fn verify_replaceable(
        &self,
        token: Untrusted<'_>,
        providers: &Providers,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<(Verified, Replaced), Rejection> {
        let keys = self.keys.published(now);
        let own = OwnTokens {
            issuer: &self.issuer,
            audiences: &self.defaults.audiences,
            media_type: TXN_TOKEN_TYPE,
            keys: keys.map(|key| (key.id.as_str(), key.key.verifying_key())).collect(),
            providers,
        };
        let (verified, claims) = own.verify(token, crypto, now)?;
        let replaced = Replaced::new(claims, verified.expires().unwrap_or(now))?;
        Ok((verified, replaced))
    }
}
