//! The holder of a token.

use std::rc::Rc;

use crate::consumer::{Consumer, HostConsumer, Selected};
use crate::distinct::Distinct;
use crate::revocation::Unrevoked;
use crate::token::{KnownGrants, Verified};

/// A token's holder: verified, not revoked, with its consumer.
///
/// Made by [`Authenticated::new`] from an [`Unrevoked`] token only.
#[derive(Debug)]
pub struct Authenticated {
    token: Verified,
    consumer: Option<Rc<Consumer>>,
    // In memory of its own, as few tokens have one.
    of_host: Option<Box<HostConsumer>>,
}

impl Authenticated {
    /// A token and the consumer that it selects.
    pub fn new(token: Unrevoked, selected: Selected) -> Self {
        let Selected { consumer, of_host } = selected;
        Self { token: token.into_token(), consumer, of_host: of_host.map(Box::new) }
    }

    /// The same token, with the consumer that the host currently has for it.
    pub fn with_consumer(&self, consumer: Option<Rc<Consumer>>) -> Self {
        Self { token: self.token.clone(), consumer, of_host: self.of_host.clone() }
    }

    /// The public token.
    pub const fn token(&self) -> &Verified {
        &self.token
    }

    /// The host's consumer that the token names, which may or may not exist.
    pub fn of_host(&self) -> Option<&HostConsumer> {
        self.of_host.as_deref()
    }

    /// Shares what the token grants with other tokens. Returns the memory that it needs for
    /// that alone, in bytes.
    pub fn share_grant(&mut self, known: &KnownGrants) -> usize {
        self.token.share_grant(known)
    }

    /// The consumer.
    pub const fn consumer(&self) -> Option<&Rc<Consumer>> {
        self.consumer.as_ref()
    }

    /// The groups: those of the consumer, and those in the token.
    pub fn groups(&self) -> Vec<&str> {
        let of_token = self.token.groups().iter().map(String::as_str);
        let Some(consumer) = self.consumer.as_ref().filter(|it| !it.groups.is_empty()) else {
            return of_token.collect();
        };
        let mut known = Distinct::default();
        let mut groups: Vec<&str> = consumer.groups.iter().map(String::as_str).collect();
        for group in &groups {
            known.add(group);
        }
        // Each is once in the token.
        groups.extend(of_token.filter(|group| !known.has(group)));
        groups
    }
}
