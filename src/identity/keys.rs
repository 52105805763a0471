//! The gateway's own keys: their schedule for signing, and their publication.

use std::fmt;

use serde_json::json;

use super::published::{PublishedPaths, pem_document};
use crate::http::Document;
use crate::keys::SigningKey;
use crate::time::{Span, UnixTime};

/// A signing key and its schedule.
#[derive(Debug)]
pub struct IdentityKey {
    /// `kid` in tokens and in the JWKS.
    pub id: String,
    /// The key.
    pub key: SigningKey,
    /// When it starts to sign; it is published earlier.
    pub sign_from: Option<UnixTime>,
    /// When it stops signing; it stays published until its last token has expired.
    pub retire_at: Option<UnixTime>,
}

impl IdentityKey {
    fn is_published(&self, ttl: Span, now: UnixTime) -> bool {
        self.retire_at.is_none_or(|end| now < end.plus(ttl))
    }

    fn signs(&self, now: UnixTime) -> bool {
        self.retire_at.is_none_or(|end| now < end)
            && self.sign_from.is_none_or(|start| now >= start)
    }
}

/// The keys in the order of the configuration.
#[derive(Debug)]
pub struct IdentityKeys {
    keys: Vec<IdentityKey>,
    paths: PublishedPaths,
    ttl: Span,
}

const FOREVER: UnixTime = UnixTime::from_millis(i64::MAX);

/// A time without a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduleGap {
    /// When it begins.
    pub from: UnixTime,
    /// When it ends, if it does.
    pub until: Option<UnixTime>,
}

impl fmt::Display for ScheduleGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no key that signs from {}", rfc3339(self.from))?;
        match self.until {
            Some(until) => write!(f, " to {}", rfc3339(until)),
            None => f.write_str(" on"),
        }
    }
}

fn rfc3339(time: UnixTime) -> String {
    let date = chrono::DateTime::from_timestamp(time.as_secs(), 0);
    date.map_or_else(|| time.to_string(), |date| date.format("%FT%TZ").to_string())
}

impl IdentityKeys {
    /// Makes the set: published at these paths, for tokens valid for `ttl`.
    pub const fn new(keys: Vec<IdentityKey>, paths: PublishedPaths, ttl: Span) -> Self {
        Self { keys, paths, ttl }
    }

    /// How long a token is valid.
    pub const fn ttl(&self) -> Span {
        self.ttl
    }

    /// The paths at which they are published.
    pub const fn paths(&self) -> &PublishedPaths {
        &self.paths
    }

    /// All keys.
    pub fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> + Clone {
        self.keys.iter().map(|key| &key.key)
    }

    /// The key that signs: the first one that is active.
    pub fn signing(&self, now: UnixTime) -> Option<&IdentityKey> {
        self.keys.iter().find(|key| key.signs(now))
    }

    /// The next moment at which another key may sign.
    pub fn next_change(&self, now: UnixTime) -> UnixTime {
        self.changes_at(now).unwrap_or(FOREVER)
    }

    /// The next moment at which a key starts or ends, if one is scheduled.
    pub fn changes_at(&self, now: UnixTime) -> Option<UnixTime> {
        let changes = self.keys.iter().flat_map(|key| [key.sign_from, key.retire_at]).flatten();
        changes.filter(|change| *change > now).min()
    }

    /// The first moment from now on at which no key signs, if there is one.
    pub fn ends_at(&self, now: UnixTime) -> Option<UnixTime> {
        let mut at = now;
        while self.signing(at).is_some() {
            at = self.changes_at(at)?;
        }
        Some(at)
    }

    /// A gap in the signing schedule as of `now`: a time without a key before a later one
    /// starts, or no key left.
    ///
    /// The end of the last key is not a gap: there is time to add one.
    pub fn gap(&self, now: UnixTime) -> Option<ScheduleGap> {
        let from = self.ends_at(now)?;
        let mut until = from;
        while self.signing(until).is_none() {
            until = self.next_change(until);
            if until == FOREVER {
                return (from == now).then_some(ScheduleGap { from, until: None });
            }
        }
        Some(ScheduleGap { from, until: Some(until) })
    }

    /// The keys whose tokens may be valid now or later.
    pub fn published(&self, now: UnixTime) -> impl Iterator<Item = &IdentityKey> {
        self.keys.iter().filter(move |key| key.is_published(self.ttl, now))
    }

    /// The JWKS: the public halves of all keys that sign, will sign, or have signed a
    /// token that is still valid. So a verifier has a key from before its first token
    /// until after its last.
    pub fn jwks(&self, now: UnixTime) -> Document {
        let keys: Vec<_> = self.published(now).map(|key| key.key.public_jwk(&key.id)).collect();
        Document::new("application/jwk-set+json", json!({ "keys": keys }).to_string())
    }

    /// The same keys as PEM blocks by `kid`.
    pub(super) fn pem(&self, now: UnixTime) -> Document {
        pem_document(
            self.published(now).filter_map(|key| Some((key.id.clone(), key.key.public_pem()?))),
        )
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
        let paths = PublishedPaths { jwks: "/jwks".into(), pem: None, discovery: None };
        IdentityKeys::new(keys, paths, Span::from_secs(300))
    }

    #[test]
    fn who_signs_and_who_is_published() {
        let keys = keys(vec![key("old", None, Some(1000)), key("new", Some(900), None)]);
        for (now, signer, published) in [
            (0, "old", &["old", "new"][..]),
            (999, "old", &["old", "new"]),
            (1000, "new", &["old", "new"]),
            (1299, "new", &["old", "new"]),
            (1300, "new", &["new"]),
        ] {
            let now = UnixTime::from_secs(now);
            assert_eq!(keys.signing(now).map(|key| key.id.as_str()), Some(signer), "{now}");
            let jwks: serde_json::Value = serde_json::from_str(keys.jwks(now).body()).unwrap();
            let ids =
                jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap());
            assert_eq!(ids.collect::<Vec<_>>(), published, "{now}");
        }
    }

    #[test]
    fn times_without_a_signing_key() {
        let gap = |from, until: Option<i64>| {
            let until = until.map(UnixTime::from_secs);
            Some(ScheduleGap { from: UnixTime::from_secs(from), until })
        };
        for (case, schedule, expected) in [
            ("one key for ever", vec![key("a", None, None)], None),
            ("a key that ends some day", vec![key("a", None, Some(900))], None),
            (
                "one after the other",
                vec![key("a", None, Some(900)), key("b", Some(900), None)],
                None,
            ),
            ("overlapping", vec![key("b", Some(800), None), key("a", None, Some(900))], None),
            ("none yet", vec![key("a", Some(200), None)], gap(100, Some(200))),
            ("none any more", vec![key("a", None, Some(50))], gap(100, None)),
            (
                "a gap",
                vec![key("a", None, Some(500)), key("b", Some(900), None)],
                gap(500, Some(900)),
            ),
        ] {
            assert_eq!(keys(schedule).gap(UnixTime::from_secs(100)), expected, "{case}");
        }
    }
}
