//! Consumers: the parties that were given access, known by a claim of their
//! tokens.

use std::collections::HashMap;
use std::rc::Rc;

use crate::denial::Denial;
use crate::token::{ClaimPath, Claims, Verified};

/// Someone who was given access: an application, a partner, a device.
///
/// The names are Kong's; each becomes an `X-Consumer-*` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// The value of the selecting claim; `None` for one who is known by
    /// credentials only.
    pub key: Option<String>,
    /// `X-Consumer-ID`.
    pub id: Option<String>,
    /// `X-Consumer-Username`.
    pub username: Option<String>,
    /// `X-Consumer-Custom-ID`.
    pub custom_id: Option<String>,
    /// `X-Consumer-Groups`; what rules ask for.
    pub groups: Vec<String>,
    /// Whether it has no access at the moment.
    pub disabled: bool,
}

impl Consumer {
    /// What to call it, in a log and in rules.
    pub fn name(&self) -> &str {
        let names = [&self.key, &self.username, &self.custom_id, &self.id];
        names.into_iter().find_map(Option::as_deref).unwrap_or_default()
    }
}

/// The consumers, as tokens find them: `consumers` in the configuration.
#[derive(Debug, Default)]
pub struct ConsumerDirectory {
    /// Claims that may select a consumer; the first one present does.
    claims: Vec<ClaimPath>,
    /// Whether a token that selects no consumer may pass.
    optional: bool,
    everyone: Vec<Rc<Consumer>>,
    by_key: HashMap<String, Rc<Consumer>>,
    by_credential: HashMap<String, Rc<Consumer>>,
}

impl ConsumerDirectory {
    /// No consumers yet.
    pub fn new(claims: Vec<ClaimPath>, optional: bool) -> Self {
        Self { claims, optional, ..Self::default() }
    }

    /// Adds a consumer and the keys of its credentials; a key that another one
    /// has already is given back.
    pub fn add(&mut self, consumer: Consumer, credentials: Vec<String>) -> Result<(), String> {
        let consumer = Rc::new(consumer);
        if let Some(key) = consumer.key.clone()
            && self.by_key.insert(key.clone(), Rc::clone(&consumer)).is_some()
        {
            return Err(key);
        }
        for key in credentials {
            if self.by_credential.insert(key.clone(), Rc::clone(&consumer)).is_some() {
                return Err(key);
            }
        }
        self.everyone.push(consumer);
        Ok(())
    }

    /// The consumer of a token: the owner of its credential, else the one that
    /// its claims select.
    ///
    /// A consumer that is disabled is not known either, but never taken for one
    /// that needs no entry.
    pub fn resolve(&self, token: &Verified) -> Result<Option<Rc<Consumer>>, Denial> {
        let consumer = match token.credential() {
            Some(key) => Some(self.by_credential.get(key).ok_or(Denial::ConsumerUnknown)?),
            None => self.select(token.claims())?,
        };
        match consumer {
            Some(consumer) if consumer.disabled => Err(Denial::ConsumerUnknown),
            consumer => Ok(consumer.cloned()),
        }
    }

    /// Only the first claim that is present counts: a token cannot fall back on
    /// a weaker claim when its stronger one is unknown.
    fn select(&self, claims: &Claims) -> Result<Option<&Rc<Consumer>>, Denial> {
        let members = claims.members();
        let selecting = self.claims.iter().find_map(|path| path.find(&members));
        let key = selecting.and_then(|value| value.as_str());
        match key.and_then(|key| self.by_key.get(key)) {
            Some(consumer) => Ok(Some(consumer)),
            None if self.everyone.is_empty() || self.optional => Ok(None),
            None => Err(Denial::ConsumerUnknown),
        }
    }

    /// How many consumers go by this name.
    pub fn count(&self, name: &str) -> usize {
        self.everyone.iter().filter(|consumer| consumer.name() == name).count()
    }

    /// The consumer with this username.
    pub fn by_username(&self, username: &str) -> Option<&Consumer> {
        let is_called = |consumer: &&Rc<Consumer>| consumer.username.as_deref() == Some(username);
        self.everyone.iter().find(is_called).map(Rc::as_ref)
    }

    /// The consumer with this id.
    pub fn by_id(&self, id: &str) -> Option<&Consumer> {
        let is_called = |consumer: &&Rc<Consumer>| consumer.id.as_deref() == Some(id);
        self.everyone.iter().find(is_called).map(Rc::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn directory(optional: bool) -> ConsumerDirectory {
        let web = Consumer {
            key: Some("web".into()),
            id: Some("1".into()),
            username: Some("web-app".into()),
            custom_id: None,
            groups: vec![],
            disabled: false,
        };
        let claims = vec![ClaimPath::dotted("azp"), ClaimPath::dotted("iss")];
        let mut directory = ConsumerDirectory::new(claims, optional);
        directory.add(web, vec!["credential".to_owned()]).unwrap();
        directory
    }

    #[test]
    fn each_key_is_of_one_consumer() {
        let other = |key: Option<&str>| Consumer {
            key: key.map(str::to_owned),
            id: None,
            username: Some("other".into()),
            custom_id: None,
            groups: vec![],
            disabled: false,
        };
        let mut directory = directory(false);
        assert_eq!(directory.add(other(Some("web")), vec![]), Err("web".into()));
        let credential = vec!["credential".to_owned()];
        assert_eq!(directory.add(other(None), credential), Err("credential".into()));
        assert_eq!(directory.add(other(None), vec!["web".to_owned()]), Ok(()), "other namespaces");
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
        ] {
            let claims = Claims::new(claims.as_object().unwrap().clone());
            let directory = directory(optional);
            let consumer = directory.select(&claims);
            let key = consumer.as_ref().map(|found| found.and_then(|c| c.key.as_deref()));
            assert_eq!(key.map_err(|_| ()), expected, "{case}");
        }
        let claims = Claims::new(serde_json::Map::new());
        assert_eq!(ConsumerDirectory::default().select(&claims), Ok(None), "no entries");
    }
}
