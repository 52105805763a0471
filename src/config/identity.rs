//! `identity_token` and `claim_to_headers`.

use std::collections::HashSet;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::overrides::{TokenBounds, identity_header, owned_header};
use super::reader::{Fields, Node, is_env, member_names};
use super::values::{HEADER_NAME, algorithm_in_build, network, repeated, scope};
use super::{access, published};
use crate::consumer::TakenNames;
use crate::http::HeaderName;
use crate::identity::{
    ClaimHeader, FieldFormat, IdentityHeaders, IdentityKey, IdentityKeys, Minter, Profile,
    PublishedPaths, is_reserved, origin,
};
use crate::json;
use crate::keys::{Algorithm, Crypto, SigningAlgorithm, SigningKey};
use crate::network::Network;
use crate::overrides::{IdentityHeader, TokenDefaults};
use crate::time::{Span, UnixTime};
use crate::token::{ClaimPath, ProviderId};
use crate::user_info::UserClaimNames;

/// `identity_token`, until the headers beside it are known.
pub struct MinterParts {
    defaults: TokenDefaults,
    issuer: String,
    copy: Vec<ClaimPath>,
    set: Map<String, Value>,
    keys: IdentityKeys,
    profile: Profile,
    replace: Vec<Network>,
    names_subjects: bool,
}

/// Reserved claims that may be copied: they are passed on as they are in the public
/// token.
// RFC 8693 section 4.1: "the consumer of a token MUST only consider the token's
// top-level claims and the party identified as the current actor" (R35)
const COPYABLE: [&str; 4] = ["scope", "client_id", "act", "txn"];

impl MinterParts {
    /// The paths of the gateway's own documents.
    pub const fn paths(&self) -> &PublishedPaths {
        self.keys.paths()
    }

    /// The bounds of every identity; `by_user`: the claims from user info.
    pub fn bounds(&self, by_user: Option<&UserClaimNames>) -> TokenBounds {
        let copied = || self.copy.iter().map(ToString::to_string);
        let own = || copied().chain(self.set.keys().cloned());
        let claims = by_user.map(|by_user| own().chain(by_user.names().cloned()).collect());
        TokenBounds { ttl: self.defaults.ttl, is_transaction: self.is_transaction(), claims }
    }

    /// The settings for requests whose rule and resource override nothing.
    pub const fn token(&self) -> &TokenDefaults {
        &self.defaults
    }

    /// Whether the tokens are transaction tokens.
    pub const fn is_transaction(&self) -> bool {
        self.profile.is_transaction()
    }

    /// Whether transaction tokens are replaced.
    pub const fn replaces(&self) -> bool {
        !self.replace.is_empty()
    }

    /// The claims that have the same value in every identity.
    pub fn constants(&self) -> Map<String, Value> {
        let own = [
            ("iss".to_owned(), Value::from(self.issuer.as_str())),
            ("aud".to_owned(), Value::from(self.defaults.audiences.as_slice())),
        ];
        self.set.clone().into_iter().chain(own).collect()
    }

    /// `iss` of identity tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether the provider's name is prepended to `sub`.
    pub const fn names_subjects(&self) -> bool {
        self.names_subjects
    }

    /// The keys to sign with.
    pub fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> + Clone {
        self.keys.signing_keys()
    }
}

/// Reads `identity_token`; `crypto`, if valid, tests the keys that only a host can sign
/// with. `are_several`: there are two or more providers.
pub fn minter(node: &Node<'_>, crypto: Option<&Crypto>, are_several: bool) -> Option<MinterParts> {
    let mut fields = node.fields()?;
    let header_given = fields.optional("header", identity_header);
    let names_subjects = subject(&mut fields, are_several);
    let issuer = fields.required("issuer", "the iss of identity tokens", Node::text);
    let audiences = fields
        .required("audiences", "a list of audiences", |node| node.full_list(|item| item.text()));
    let scopes = fields.optional("scopes", |node| node.list(scope));
    let ttl = fields.or("ttl_seconds", 300, |node| node.integer(1..=3600));
    let claims = fields.or("claims", (Vec::new(), Map::new()), claims);
    let keys = fields.required("signing_keys", "a list of keys", |node| {
        node.full_list(|node| signing_key(node, crypto))
    });
    let paths = published::paths(&mut fields);
    let profiles = [("identity", false), ("txn_token", true)];
    let is_transaction = fields.or("profile", false, |node| node.one_of(&profiles));
    let requesting_workload =
        fields.optional("req_wl", |node| node.plain_text().map(str::to_owned));
    let replace = fields.or("replace", Vec::new(), replace);
    let whole = fields.node().clone();
    fields.finish()?;

    let keys = keys?;
    check_ids(&whole, &keys)?;
    let (copy, set) = claims?;
    let ttl = Span::from_secs(ttl?);
    let (issuer, requesting_workload) = (issuer?.to_owned(), requesting_workload?);
    let paths = paths?;
    published::check(&whole, &paths, origin(&issuer).is_some())?;
    let keys = IdentityKeys::new(keys, paths, ttl);
    let audiences: Vec<_> = audiences?.into_iter().map(str::to_owned).collect();
    let (header, profile) = if is_transaction? {
        check_transaction(&whole, &audiences, &copy)?;
        let requesting_workload = requesting_workload.unwrap_or_else(|| issuer.clone());
        (HeaderName::txn_token(), Profile::Transaction { requesting_workload })
    } else {
        if requesting_workload.is_some() {
            return whole.member("req_wl")?.reject("nothing, but with profile txn_token");
        }
        if replace.as_ref().is_some_and(|from| !from.is_empty()) {
            return whole.member("replace")?.reject("nothing, but with profile txn_token");
        }
        (HeaderName::known("x-identity-token"), Profile::Identity)
    };
    let header = match header_given? {
        Some(given)
            if profile.is_transaction() && (given.name != header || !given.scheme.is_empty()) =>
        {
            return whole.member("header")?.reject("txn-token, which the profile txn_token fixes");
        }
        given => given.unwrap_or(IdentityHeader { name: header, scheme: String::new() }),
    };
    let names_subjects = names_subjects?;
    let defaults = TokenDefaults { header, audiences, scopes: scopes?, ttl };
    let replace = replace?;
    Some(MinterParts { defaults, issuer, copy, set, keys, profile, replace, names_subjects })
}

/// Verifiers look up a key by its id.
fn check_ids(whole: &Node<'_>, keys: &[IdentityKey]) -> Option<()> {
    match repeated(keys.iter().map(|key| key.id.as_str())) {
        Some(id) => whole.reject_as(format_args!("the kid {id:?} twice"), "each kid once"),
        None => Some(()),
    }
}

/// The networks from which transaction tokens are accepted for replacement.
fn replace(node: &Node<'_>) -> Option<Vec<Network>> {
    const FROM: &str =
        "the networks of the services that may exchange a transaction token for a new one";
    let mut fields = node.fields()?;
    let from = fields.required("from", FROM, |node| node.full_list(network));
    fields.finish()?;
    from
}

/// The form of `sub`. Two issuers may use the same `sub` for different users, so with two
/// or more providers it must be configured.
fn subject(fields: &mut Fields<'_>, are_several: bool) -> Option<bool> {
    const FORMS: [(&str, bool); 2] = [("{provider}:{sub}", true), ("{sub}", false)];
    const ACCEPTED: &str = "{provider}:{sub}, or {sub} where no two providers have the same sub \
                            for two users";
    let read = |node: &Node<'_>| node.one_of(&FORMS);
    if are_several {
        fields.required("subject", ACCEPTED, read)
    } else {
        fields.or("subject", false, read)
    }
}

/// The draft's requirements for a transaction token: the trust domain as its only
/// audience, and a `txn` generated by the gateway.
fn check_transaction(whole: &Node<'_>, audiences: &[String], copy: &[ClaimPath]) -> Option<()> {
    if audiences.len() != 1 {
        let found = format_args!("{} audiences", audiences.len());
        return whole.member("audiences")?.reject_as(found, "one audience: the trust domain");
    }
    if copy.iter().any(|claim| claim.starts_at(|name| name == "txn")) {
        let claims = whole.member("claims")?;
        return claims
            .member("copy")?
            .reject_as("txn", "claims without txn, which is the gateway's");
    }
    Some(())
}

/// Parts of the identity that other sections configure.
pub struct Surroundings {
    /// `claim_to_headers`.
    pub headers: Vec<ClaimHeader>,
    /// Every header that may carry a token.
    pub carriers: Vec<HeaderName>,
    /// `aud` for all services together.
    pub audiences: Vec<String>,
    /// The claims from user info.
    pub user_claims: UserClaimNames,
    /// The names of the providers, if there are two or more.
    pub origins: Vec<String>,
    /// Providers whose tokens need no scope for a transaction token.
    pub trusted_without_scope: Vec<ProviderId>,
    /// The names of the consumers.
    pub taken: TakenNames,
    /// `limits.max_identity_bytes`.
    pub max_bytes: usize,
}

/// Combines both parts.
pub fn finish(parts: MinterParts, surroundings: Surroundings) -> Minter {
    let MinterParts { defaults, issuer, copy, set, keys, profile, replace, .. } = parts;
    let Surroundings {
        headers,
        carriers,
        audiences,
        user_claims,
        origins,
        trusted_without_scope,
        taken,
        max_bytes,
    } = surroundings;
    let copied: HashSet<_> = copy.iter().collect();
    let with_copy =
        |header: ClaimHeader| ClaimHeader { is_copied: copied.contains(&header.path), ..header };
    let mut headers = IdentityHeaders::new(headers.into_iter().map(with_copy).collect());
    headers.taken = taken;
    Minter {
        defaults,
        carriers,
        audiences,
        issuer,
        copy,
        set,
        user_claims,
        origins,
        trusted_without_scope,
        keys,
        headers,
        profile,
        replace,
        max_bytes,
    }
}

fn claims(node: &Node<'_>) -> Option<(Vec<ClaimPath>, Map<String, Value>)> {
    let mut fields = node.fields()?;
    let copy = fields.or("copy", Vec::new(), |node| {
        node.list(|item| {
            let path = access::claim_path(item)?;
            let name = path.to_string();
            if is_reserved(&name) && !COPYABLE.contains(&name.as_str()) {
                return item.reject("claims that the gateway does not decide itself");
            }
            Some(path)
        })
    });
    let set = fields.or("set", Vec::new(), |node| {
        node.entries(|name, value| {
            if is_reserved(name) {
                return value.reject("claims that the gateway does not decide itself");
            }
            if json::holds_rounded(value.value()) {
                return value.reject(access::EXACT);
            }
            Some((name.to_owned(), value.value().clone()))
        })
    });
    let copied = fields.node().member("copy");
    fields.finish()?;
    let copy = copy?;
    if let Some(name) = repeated(copy.iter().map(ClaimPath::name)) {
        return copied?.reject_as(format_args!("two claims named {name:?}"), "each name once");
    }
    Some((copy, set?.into_iter().collect()))
}

/// The values that [`signing_algorithm`] accepts.
const SIGNING_ALGORITHM: &str = "ES256 | EdDSA; RS256 where the host signs with it: on Envoy and \
                                 with the native doors; PS256 | ES384 with the native doors only";

fn signing_key(node: &Node<'_>, crypto: Option<&Crypto>) -> Option<IdentityKey> {
    let mut fields = node.fields()?;
    let algorithm =
        fields.required("algorithm", SIGNING_ALGORITHM, |node| signing_algorithm(node, crypto));
    let accepted = "a private JWK, a PKCS#8 PEM, or {env: NAME} that holds one";
    let key = fields.required("private_key", accepted, |node| {
        let algorithm = algorithm?;
        let key = match node.value() {
            Value::Object(other) if !is_env(other) && !other.contains_key("kty") => {
                return node.reject_as(member_names(other), accepted);
            }
            Value::Object(jwk) if !is_env(jwk) => {
                node.is_secret();
                SigningKey::from_jwk(&json::present(jwk), algorithm)
            }
            _ => SigningKey::parse(node.secret()?.expose(), algorithm),
        };
        let key = key.map_err(|error| node.reject_as::<()>(error, accepted)).ok()?;
        // An invalid `crypto` section has its own problem already.
        match crypto.filter(|_| algorithm.needs_host()) {
            Some(crypto) if !key.is_signed_with_by_host(crypto) => {
                let found = format_args!("a key that the host does not sign with by {algorithm}");
                node.reject_as(found, "another key, or one for ES256 | EdDSA")
            }
            _ => Some(key),
        }
    });
    let id = fields.optional("kid", |node| node.plain_text().map(str::to_owned));
    let sign_from = fields.optional("sign_from", moment);
    let retire_at = fields.optional("retire_at", moment);
    let node = fields.node().clone();
    fields.finish()?;
    let (key, sign_from, retire_at) = (key?, sign_from?, retire_at?);
    if let (Some(start), Some(end)) = (sign_from, retire_at)
        && start >= end
    {
        return node.reject_as("retire_at at or before sign_from", "retire_at after sign_from");
    }
    let id = id?.unwrap_or_else(|| key.thumbprint().to_owned());
    Some(IdentityKey { id, key, sign_from, retire_at })
}

/// The module itself signs with two; the host may offer more.
fn signing_algorithm(node: &Node<'_>, crypto: Option<&Crypto>) -> Option<SigningAlgorithm> {
    use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
    let name = node.value().as_str().unwrap_or_default();
    let all = [Es256, EdDsa, Rs256, Ps256, Es384].into_iter();
    let Some(algorithm) = all.into_iter().find(|it| Algorithm::from(*it).name() == name) else {
        let names = [Es256, EdDsa, Rs256, Ps256, Es384].map(|it| Algorithm::from(it).name());
        return node.reject_name(&names, SIGNING_ALGORITHM);
    };
    algorithm_in_build(node, algorithm.into())?;
    let is_offered = |crypto: &Crypto| crypto.host_may_sign(algorithm.into());
    if algorithm.needs_host() && !crypto.is_none_or(is_offered) {
        let found = format_args!("{name}, with which nobody signs here");
        return node.reject_as(found, SIGNING_ALGORITHM);
    }
    Some(algorithm)
}

/// A point in time: RFC 3339 or seconds since 1970.
fn moment(node: &Node<'_>) -> Option<UnixTime> {
    let moment = match node.value() {
        Value::String(text) => {
            DateTime::parse_from_rfc3339(text).ok().map(|at| UnixTime::from_secs(at.timestamp()))
        }
        Value::Number(number) => UnixTime::from_numeric_date(number.as_str()),
        _ => None,
    };
    moment.or_else(|| node.reject("a time such as 2026-01-31T12:00:00Z, or seconds since 1970"))
}

/// Reads an element of `claim_to_headers`.
pub fn claim_header(node: &Node<'_>) -> Option<ClaimHeader> {
    let mut fields = node.fields()?;
    let name = fields.required("header", HEADER_NAME, owned_header);
    let path = fields.required("claim", access::CLAIM, access::claim_path);
    let formats = [
        ("text", FieldFormat::Text),
        ("csv", FieldFormat::Csv),
        ("json", FieldFormat::Json),
        ("json_base64", FieldFormat::JsonBase64),
    ];
    let format = fields.or("format", FieldFormat::Text, |node| node.one_of(&formats));
    fields.finish()?;
    Some(ClaimHeader { name: name?, path: path?, format: format?, is_copied: false })
}
