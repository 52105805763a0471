//! The gateway's own keys: which one signs when, and which are published.

use std::fmt;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::keys::SigningKey;
use crate::time::{Span, UnixTime};

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

const FOREVER: UnixTime = UnixTime::from_millis(i64::MAX);

/// What is wrong with the times of signing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleFlaw {
    /// No key may sign from then on.
    NobodySigns {
        /// Since when.
        from: UnixTime,
    },
    /// A key is withdrawn before the last token signed with it has ended.
    RetiredTooEarly {
        /// The key.
        kid: String,
        /// When that token ends.
        needed_until: UnixTime,
    },
}

impl fmt::Display for ScheduleFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodySigns { from } => write!(f, "no key that signs from {} on", rfc3339(*from)),
            Self::RetiredTooEarly { kid, needed_until } => write!(
                f,
                "key {kid:?} retired before {}, when the last token signed with it ends",
                rfc3339(*needed_until)
            ),
        }
    }
}

fn rfc3339(time: UnixTime) -> String {
    let date = chrono::DateTime::from_timestamp(time.as_secs(), 0);
    date.map_or_else(|| time.to_string(), |date| date.format("%FT%TZ").to_string())
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

    /// The key that signs: the first whose time has come and is not over.
    pub fn signing(&self, now: UnixTime) -> Option<&IdentityKey> {
        self.keys.iter().find(|key| key.signs(now))
    }

    /// The next moment at which another key may sign.
    pub fn next_change(&self, now: UnixTime) -> UnixTime {
        let changes = self.keys.iter().flat_map(|key| [key.sign_from, key.retire_at]).flatten();
        changes.filter(|change| *change > now).min().unwrap_or(FOREVER)
    }

    /// What of the schedule would fail the services behind, seen from `now`:
    /// a time at which no key signs, or a key that is withdrawn while tokens
    /// signed with it, valid for `ttl`, are still under way.
    pub fn flaw(&self, ttl: Span, now: UnixTime) -> Option<ScheduleFlaw> {
        let mut from = now;
        loop {
            let Some(signer) = self.signing(from) else {
                return Some(ScheduleFlaw::NobodySigns { from });
            };
            let until = self.next_change(from);
            let is_last = until == FOREVER;
            let signs_on = !is_last && self.signing(until).is_some_and(|next| next.id == signer.id);
            let needed_until = until.plus(ttl);
            if let Some(end) = signer.retire_at
                && !signs_on
                && end < needed_until
            {
                let kid = signer.id.clone();
                return Some(ScheduleFlaw::RetiredTooEarly { kid, needed_until });
            }
            if is_last {
                return None;
            }
            from = until;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningAlgorithm;

    fn key(id: &str, sign_from: Option<i64>, retire_at: Option<i64>) -> IdentityKey {
        // RFC 8037 appendix A.1.
        let jwk = r#"{"kty":"OKP","crv":"Ed25519",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;
        IdentityKey {
            id: id.to_owned(),
            key: SigningKey::parse(jwk, SigningAlgorithm::EdDsa).unwrap(),
            sign_from: sign_from.map(UnixTime::from_secs),
            retire_at: retire_at.map(UnixTime::from_secs),
        }
    }

    fn keys(keys: Vec<IdentityKey>) -> IdentityKeys {
        IdentityKeys::new(keys, "/jwks".into())
    }

    #[test]
    fn who_signs_and_who_is_published() {
        let keys = keys(vec![key("new", Some(1000), None), key("old", None, Some(1400))]);
        for (now, signer, published) in [
            (0, "old", &["new", "old"][..]),
            (999, "old", &["new", "old"]),
            (1000, "new", &["new", "old"]),
            (1399, "new", &["new", "old"]),
            (1400, "new", &["new"]),
        ] {
            let now = UnixTime::from_secs(now);
            assert_eq!(keys.signing(now).map(|key| key.id.as_str()), Some(signer), "{now}");
            let jwks: serde_json::Value = serde_json::from_str(&keys.jwks(now).body).unwrap();
            let ids =
                jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap());
            assert_eq!(ids.collect::<Vec<_>>(), published, "{now}");
        }
    }

    #[test]
    fn flaws_of_a_schedule() {
        let nobody = |from| Some(ScheduleFlaw::NobodySigns { from: UnixTime::from_secs(from) });
        let early = |kid: &str, until| {
            let needed_until = UnixTime::from_secs(until);
            Some(ScheduleFlaw::RetiredTooEarly { kid: kid.into(), needed_until })
        };
        for (case, schedule, expected) in [
            ("one key for ever", vec![key("a", None, None)], None),
            ("no key yet", vec![key("a", Some(200), None)], nobody(100)),
            ("a last key that ends", vec![key("a", None, Some(900))], early("a", 1200)),
            (
                "old retired when its last token has ended",
                vec![key("b", Some(1000), None), key("a", None, Some(1300))],
                None,
            ),
            (
                "old retired a second early",
                vec![key("b", Some(1000), None), key("a", None, Some(1299))],
                early("a", 1300),
            ),
            (
                "old retired when the new one begins",
                vec![key("a", None, Some(1000)), key("b", None, None)],
                early("a", 1300),
            ),
            ("retired long ago", vec![key("a", None, Some(50)), key("b", None, None)], None),
            (
                "a gap",
                vec![key("a", None, Some(5000)), key("b", Some(9000), None)],
                early("a", 5300),
            ),
        ] {
            let flaw = keys(schedule).flaw(Span::from_secs(300), UnixTime::from_secs(100));
            assert_eq!(flaw, expected, "{case}");
        }
    }
}
