//! The shop whose requests are counted: natively by callgrind, and in the built module by
//! the fuel of an interpreter.

use serde_json::{Value, json};

use crate::tokens::{AUDIENCE, ISSUER, Signer, identity_key};

/// The user of all tokens but those of [`Kind::Callout`].
pub const KNOWN_USER: &str = "5c0c8b1e-9f0d-4a36-8d0e-000000000000";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token that was verified before, with an identity that was minted before.
    Known,
    /// A new RS256 token of a known user: verified, and an identity minted.
    NewRs256,
    /// A new ES256 token of a known user.
    NewEs256,
    /// A new RS256 token whose signature is wrong.
    Denied,
    /// A new RS256 token of a user who is not known: the user service is asked, and its
    /// reply comes.
    Callout,
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Known, Self::NewRs256, Self::NewEs256, Self::Denied, Self::Callout];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known_token",
            Self::NewRs256 => "new_rs256_token",
            Self::NewEs256 => "new_es256_token",
            Self::Denied => "denial",
            Self::Callout => "callout",
        }
    }
}

/// Two rules, user info, a claim as a header, identity tokens by ES256: as the
/// benchmark of gateways has it.
pub fn configuration(signers: &[Signer]) -> Value {
    let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    json!({
        "services": {"users": {"upstream": "users"}},
        "providers": {"shop": {
            "issuer": ISSUER, "audiences": [AUDIENCE],
            "local_jwks": {"keys": keys},
        }},
        "user_info": {
            "service": "users", "path": "/users/{sub}",
            "claims": {"country": "/address/country", "customer_type": "/type"},
        },
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "signing_keys": [{"algorithm": "ES256", "private_key": identity_key("ES256")}],
        },
        "claim_to_headers": [{"header": "x-user-country", "claim": ["country"]}],
        "rules": [
            {"match": {"path_prefix": "/health"}, "bypass": true},
            {"match": {"path_prefix": "/orders"}, "requires": {"scopes_all": ["orders"]}},
        ],
        "limits": {"token_cache_entries": 100_000},
    })
}

/// The fields of a request that a browser sends through a load balancer, but for its
/// token.
pub const FIELDS: [(&str, &str); 14] = [
    (":method", "GET"),
    (":path", "/orders?page=2"),
    (":authority", "shop.example"),
    (":scheme", "https"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "application/json"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("referer", "https://shop.example/"),
    ("origin", "https://shop.example"),
    ("cache-control", "no-cache"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-request-id", "08a5019c-17e1-4977-8f42-65a12843ea02"),
];

/// The user of the token with this number.
pub fn subject(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Callout => format!("5c0c8b1e-9f0d-4a36-8d0e-{number:012}"),
        _ => KNOWN_USER.to_owned(),
    }
}

/// What the token with this number says; of the same user, unless the user is to be asked
/// for.
pub fn claims(kind: Kind, number: u64, now: i64) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject(kind, number), "iat": now, "nbf": now,
        "exp": now + 86_000, "jti": format!("{number:016x}"), "azp": "web",
        "client_id": "web", "scope": "orders admin", "tenant": "acme", "auth_time": now,
        "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
    })
}

/// Changes the first character of a token's signature, which has no unused bits.
pub fn forge(token: &mut String) {
    let at = token.rfind('.').map_or(0, |dot| dot + 1);
    let other = if token[at..].starts_with('A') { "B" } else { "A" };
    token.replace_range(at..=at, other);
}

/// What the user service says of a user.
pub fn user(subject: &str) -> Value {
    json!({
        "sub": subject, "type": "business", "name": "Alice Example",
        "address": {"street": "Calle Mayor 1", "city": "Madrid", "country": "ES"},
    })
}
