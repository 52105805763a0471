//! `act`: who acts for the subject (RFC 8693 section 4.1).

use super::{Rejection, text_of};
use crate::json::{Json, Members};

/// The current actor of a token, and the length of the chain of actors.
///
/// Earlier actors are informational: they decide nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `client_id` of the outermost actor.
    pub client_id: Option<String>,
    /// `sub` of the outermost actor.
    pub subject: Option<String>,
    /// The length of the chain; at least 1.
    pub depth: usize,
}

impl Actor {
    /// Reads the actor from the claims. A chain that contains anything but objects is an
    /// error, never a shorter chain.
    pub fn of<'a>(claims: impl Into<Members<'a>>) -> Result<Option<Self>, Rejection> {
        let mut members = claims.into();
        let (mut outermost, mut depth) = (None, 0_usize);
        loop {
            match members.get("act") {
                None | Some(Json::Null) => break,
                Some(Json::Object(actor)) => {
                    outermost = outermost.or(Some(actor));
                    depth = depth.saturating_add(1);
                    members = actor;
                }
                Some(_) => return Err(Rejection::ClaimMalformed("act")),
            }
        }
        let text = |actor: Members<'_>, name| text_of(actor, name).map(str::to_owned);
        Ok(outermost.map(|actor| Self {
            client_id: text(actor, "client_id"),
            subject: text(actor, "sub"),
            depth,
        }))
    }

    /// The actor's name in logs.
    pub fn name(&self) -> &str {
        self.client_id.as_deref().or(self.subject.as_deref()).unwrap_or_default()
    }
}

/// A rule's condition on the actor. An empty list is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorRule {
    /// Accepted `client_id`s of the outermost actor.
    pub client_ids: Vec<String>,
    /// Accepted `sub`s of the outermost actor.
    pub subjects: Vec<String>,
    /// The longest chain.
    pub max_depth: usize,
}

/// A longer chain is accepted only if a rule allows it.
pub const MAX_DEPTH: usize = 4;

impl Default for ActorRule {
    fn default() -> Self {
        Self { client_ids: Vec::new(), subjects: Vec::new(), max_depth: MAX_DEPTH }
    }
}

impl ActorRule {
    /// Whether it requires certain actors: then a token without an actor does not pass.
    pub const fn names_actors(&self) -> bool {
        !self.client_ids.is_empty() || !self.subjects.is_empty()
    }

    /// Whether a token with this actor meets the condition.
    pub fn accepts(&self, actor: Option<&Actor>) -> bool {
        let Some(actor) = actor else { return !self.names_actors() };
        let is_one_of = |accepted: &[String], name: &Option<String>| {
            accepted.is_empty() || name.as_ref().is_some_and(|name| accepted.contains(name))
        };
        actor.depth <= self.max_depth
            && is_one_of(&self.client_ids, &actor.client_id)
            && is_one_of(&self.subjects, &actor.subject)
    }
}
