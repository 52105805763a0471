//! The gateway's own keys: which one signs when, and which are published.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::keys::SigningKey;
use crate::time::UnixTime;

/// A signing key and its time.
#[derive(Debug)]
pub struct IdentityKey {
    /// `kid` in tokens and in the JWKS.
    pub id: String,
    /// The key.
    pub key: SigningKey,
    /// From when it may sign; published before.
    pub sign_from: Option<UnixTime>,
    /// From when it is neither used nor published.
    pub retire_at: Option<UnixTime>,
}

impl IdentityKey {
    fn is_published(&self, now: UnixTime) -> bool {
        self.retire_at.is_none_or(|end| now < end)
    }

    fn signs(&self, now: UnixTime) -> bool {
        self.is_published(now) && self.sign_from.is_none_or(|start| now >= start)
    }
}

/// The keys in the order of the configuration.
#[derive(Debug)]
pub struct IdentityKeys {
    keys: Vec<IdentityKey>,
    jwks_path: String,
}

/// The JWKS as it is served.
#[derive(Debug, PartialEq, Eq)]
pub struct JwksDocument {
    /// The JSON text (RFC 7517 section 5).
    pub body: String,
    /// Its entity tag, quotes included.
    pub etag: String,
}

impl IdentityKeys {
    /// These keys, published at `jwks_path`.
    pub const fn new(keys: Vec<IdentityKey>, jwks_path: String) -> Self {
        Self { keys, jwks_path }
    }

    /// The path of the JWKS on the gateway.
    pub fn jwks_path(&self) -> &str {
        &self.jwks_path
    }

    /// Every key there is.
    pub fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> + Clone {
        self.keys.iter().map(|key| &key.key)
    }

    /// The key that signs: the first whose time has come and is not over.
    pub fn signing(&self, now: UnixTime) -> Option<&IdentityKey> {
        self.keys.iter().find(|key| key.signs(now))
    }

    /// The next moment at which another key may sign.
    pub fn next_change(&self, now: UnixTime) -> UnixTime {
        let changes = self.keys.iter().flat_map(|key| [key.sign_from, key.retire_at]).flatten();
        changes.filter(|change| *change > now).min().unwrap_or(UnixTime::from_millis(i64::MAX))
    }

    /// The JWKS: public parts of all keys that are not retired, those that do
    /// not sign yet included, so that a verifier knows a key before its first
    /// token.
    pub fn jwks(&self, now: UnixTime) -> JwksDocument {
        let published = self.keys.iter().filter(|key| key.is_published(now));
        let keys: Vec<_> = published.map(|key| key.key.public_jwk(&key.id)).collect();
        let body = json!({ "keys": keys }).to_string();
        let digest = Sha256::digest(body.as_bytes());
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        JwksDocument { body, etag: format!("\"{hex}\"") }
    }
}
