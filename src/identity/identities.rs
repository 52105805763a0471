//! The identities that were minted for one token.

use std::rc::Rc;

use super::Identity;
use crate::overrides::TemplateKey;

/// The identities of a token: one for each service that it is used at, up to a limit.
#[derive(Debug, Default)]
pub enum Identities {
    /// None was minted yet.
    #[default]
    None,
    /// One, as most tokens have.
    One(Rc<Identity>),
    /// Several; the latest come last.
    Several(Box<Vec<Rc<Identity>>>),
}

/// The maximum number of identities for one token. The oldest is dropped first.
const MAX_IDENTITIES: usize = 8;

impl Identities {
    fn all(&self) -> &[Rc<Identity>] {
        match self {
            Self::None => &[],
            Self::One(identity) => std::slice::from_ref(identity),
            Self::Several(identities) => identities,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// The one that was minted for this template.
    pub fn get(&self, template: &TemplateKey) -> Option<&Rc<Identity>> {
        self.all().iter().find(|identity| identity.is_for(template))
    }

    /// Adds one, instead of that for the same template.
    pub fn keep(&mut self, identity: Rc<Identity>) {
        *self = match std::mem::take(self) {
            Self::One(other) if other.template != identity.template => {
                Self::Several(Box::new(vec![other, identity]))
            }
            Self::None | Self::One(_) => Self::One(identity),
            Self::Several(mut identities) => {
                identities.retain(|other| other.template != identity.template);
                if identities.len() >= MAX_IDENTITIES {
                    identities.remove(0);
                }
                identities.push(identity);
                Self::Several(identities)
            }
        };
    }

    /// Their approximate memory in bytes.
    pub fn bytes(&self) -> usize {
        let bytes = self.all().iter().map(|identity| identity.bytes());
        bytes.fold(0, usize::saturating_add)
    }
}
