//! The owner of a token.

use std::rc::Rc;

use crate::consumer::Consumer;
use crate::revocation::Unrevoked;
use crate::token::Verified;

/// A token's owner, as far as it is known: verified, not revoked, with its
/// consumer.
///
/// Made by [`Authenticated::new`] from an [`Unrevoked`] token only.
#[derive(Debug)]
pub struct Authenticated {
    token: Verified,
    consumer: Option<Rc<Consumer>>,
}

impl Authenticated {
    /// A token and the consumer it selects.
    pub fn new(token: Unrevoked, consumer: Option<Rc<Consumer>>) -> Self {
        Self { token: token.into_token(), consumer }
    }

    /// The public token.
    pub const fn token(&self) -> &Verified {
        &self.token
    }

    /// The consumer.
    pub const fn consumer(&self) -> Option<&Rc<Consumer>> {
        self.consumer.as_ref()
    }

    /// The groups it is in: those of the consumer, and those that the token says.
    pub fn groups(&self) -> Vec<&str> {
        let of_consumer = self.consumer.iter().flat_map(|consumer| &consumer.groups);
        let mut groups: Vec<&str> = of_consumer.map(String::as_str).collect();
        for group in self.token.groups() {
            if !groups.contains(&group.as_str()) {
                groups.push(group);
            }
        }
        groups
    }
}
