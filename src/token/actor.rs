//! `act`: who acts for the subject (RFC 8693 section 4.1).

use serde_json::{Map, Value};

use super::{Rejection, text_of};

/// The actor of a token: the one who acts now, and how many acted before it.
///
/// Those before are history: they decide nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `client_id` of the outermost one.
    pub client_id: Option<String>,
    /// `sub` of the outermost one.
    pub subject: Option<String>,
    /// How long the chain is; at least 1.
    pub depth: usize,
}

impl Actor {
    /// What the claims say of it. A chain with something else in it than objects is an
    /// error, and never a shorter chain.
    pub fn of(claims: &Map<String, Value>) -> Result<Option<Self>, Rejection> {
        let mut chain = Vec::new();
        let mut members = claims;
        loop {
            match members.get("act") {
                None | Some(Value::Null) => break,
                Some(Value::Object(actor)) => {
                    chain.push(actor);
                    members = actor;
                }
                Some(_) => return Err(Rejection::ClaimMalformed("act")),
            }
        }
        let text = |actor: &Map<String, Value>, name| text_of(actor, name).map(str::to_owned);
        Ok(chain.first().map(|actor| Self {
            client_id: text(actor, "client_id"),
            subject: text(actor, "sub"),
            depth: chain.len(),
        }))
    }

    /// What to call it in a log.
    pub fn name(&self) -> &str {
        self.client_id.as_deref().or(self.subject.as_deref()).unwrap_or_default()
    }
}

/// What a rule asks of the actor. Empty lists ask nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorRule {
    /// `client_id`, of which the outermost actor has one.
    pub client_ids: Vec<String>,
    /// `sub`, of which the outermost actor has one.
    pub subjects: Vec<String>,
    /// The longest chain.
    pub max_depth: usize,
}

/// A longer chain is accepted only where a rule says so.
pub const MAX_DEPTH: usize = 4;

impl Default for ActorRule {
    fn default() -> Self {
        Self { client_ids: Vec::new(), subjects: Vec::new(), max_depth: MAX_DEPTH }
    }
}

impl ActorRule {
    /// Whether it names actors: then nobody acting for themselves passes.
    pub const fn names_actors(&self) -> bool {
        !self.client_ids.is_empty() || !self.subjects.is_empty()
    }

    /// Whether a token with this actor meets it.
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
