//! Consumers: the parties that were given access, known by a claim of their
//! tokens.

use std::collections::HashMap;
use std::rc::Rc;

use crate::denial::Denial;
use crate::token::{ClaimPath, Claims};

/// Someone who was given access: an application, a partner, a device.
///
/// The names are Kong's; each becomes an `X-Consumer-*` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The value of the selecting claim.
    pub key: String,
    /// `X-Consumer-ID`.
    pub id: Option<String>,
    /// `X-Consumer-Username`.
    pub username: Option<String>,
    /// `X-Consumer-Custom-ID`.
    pub custom_id: Option<String>,
    /// `X-Consumer-Groups`; what rules ask for.
    pub groups: Vec<String>,
    /// Whether it has access at the moment.
    pub enabled: bool,
}

/// The consumers by key: `consumers` in the configuration.
#[derive(Debug, Default)]
pub struct ConsumerDirectory {
    /// Claims that may select an entry; the first one present does.
    pub claims: Vec<ClaimPath>,
    /// The consumers by key.
    pub entries: HashMap<String, Rc<Consumer>>,
    /// Whether a token that selects no entry may pass.
    pub optional: bool,
}

impl ConsumerDirectory {
    /// The consumer that a token's claims select.
    ///
    /// Only the first claim that is present counts: a token cannot fall back on
    /// a weaker claim when its stronger one is unknown. A consumer that is
    /// disabled is not known either, but never taken for one that needs no entry.
    pub fn resolve(&self, claims: &Claims) -> Result<Option<Rc<Consumer>>, Denial> {
        let selecting = self.claims.iter().find_map(|path| path.find(claims.members()));
        let key = selecting.and_then(|value| value.as_str());
        match key.and_then(|key| self.entries.get(key)) {
            Some(consumer) if consumer.enabled => Ok(Some(Rc::clone(consumer))),
            Some(_) => Err(Denial::ConsumerUnknown),
            None if self.entries.is_empty() || self.optional => Ok(None),
            None => Err(Denial::ConsumerUnknown),
        }
    }

    /// The consumer with this username.
    pub fn by_username(&self, username: &str) -> Option<&Consumer> {
        let is_called = |consumer: &&Rc<Consumer>| consumer.username.as_deref() == Some(username);
        self.entries.values().find(is_called).map(Rc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn directory(optional: bool) -> ConsumerDirectory {
        let web = Consumer {
            key: "web".into(),
            id: Some("1".into()),
            username: Some("web-app".into()),
            custom_id: None,
            groups: vec![],
            enabled: true,
        };
        let gone = Consumer { key: "gone".into(), enabled: false, ..web.clone() };
        ConsumerDirectory {
            claims: vec![ClaimPath::dotted("azp"), ClaimPath::dotted("iss")],
            entries: [web, gone].map(|it| (it.key.clone(), Rc::new(it))).into(),
            optional,
        }
    }

    #[test]
    fn selection() {
        for (case, claims, optional, expected) in [
            ("first claim", json!({"azp": "web", "iss": "x"}), false, Ok(Some("web"))),
            ("second claim", json!({"iss": "web"}), false, Ok(Some("web"))),
            (
                "no way back from an unknown first",
                json!({"azp": "x", "iss": "web"}),
                false,
                Err(()),
            ),
            ("none present", json!({}), false, Err(())),
            ("not text", json!({"azp": 7}), false, Err(())),
            ("unknown, optional", json!({"azp": "x"}), true, Ok(None)),
            ("disabled", json!({"azp": "gone"}), false, Err(())),
            ("disabled, optional", json!({"azp": "gone"}), true, Err(())),
        ] {
            let claims = Claims::new(claims.as_object().unwrap().clone());
            let consumer = directory(optional).resolve(&claims);
            let key = consumer.as_ref().map(|found| found.as_deref().map(|c| c.key.as_str()));
            assert_eq!(key.map_err(|_| ()), expected, "{case}");
        }
        let claims = Claims::new(serde_json::Map::new());
        assert_eq!(ConsumerDirectory::default().resolve(&claims), Ok(None), "no entries");
    }
}
