//! What a token grants to whom.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use super::{Audience, Scopes};

/// What a token grants, to which client and for whom. Many tokens have the same.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    pub(super) client: Option<Box<str>>,
    pub(super) scopes: Scopes,
    pub(super) audience: Audience,
}

/// Grants seen before, for tokens to share: a gateway remembers many tokens.
#[derive(Debug, Default)]
pub struct KnownGrants {
    hashes: RandomState,
    /// By hash; the latest one stays.
    slots: RefCell<[Option<Rc<Grant>>; Self::SLOTS]>,
}

impl KnownGrants {
    /// As many as there are clients with many tokens, or some of them. A power of two.
    const SLOTS: usize = 32;

    /// An equal grant that other tokens have too, if there is one.
    pub(super) fn share(&self, grant: &mut Rc<Grant>) {
        let [first, ..] = self.hashes.hash_one(&*grant).to_le_bytes();
        let mut slots = self.slots.borrow_mut();
        match slots.get_mut(usize::from(first) & (Self::SLOTS - 1)) {
            Some(Some(known)) if known == grant => *grant = Rc::clone(known),
            Some(slot) => *slot = Some(Rc::clone(grant)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_grants_are_shared_and_others_are_not() {
        let grant =
            |client: &str| Rc::new(Grant { client: Some(client.into()), ..Grant::default() });
        let known = KnownGrants::default();
        let mut kept = grant("web");
        known.share(&mut kept);
        let mut again = grant("web");
        known.share(&mut again);
        assert!(Rc::ptr_eq(&kept, &again));
        for number in 0..1000 {
            let mut other = grant(&number.to_string());
            known.share(&mut other);
            assert_eq!(other, grant(&number.to_string()));
        }
        let held = known.slots.borrow().iter().flatten().count();
        assert_eq!(held, KnownGrants::SLOTS, "no more are kept");
    }
}
