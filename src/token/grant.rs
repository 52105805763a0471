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

impl Grant {
    /// Its approximate memory in bytes.
    fn bytes(&self) -> usize {
        let client = self.client.as_ref().map_or(0, |client| client.len());
        let texts = client.saturating_add(self.scopes.as_str().len());
        texts.saturating_add(self.audience.bytes()).saturating_add(size_of::<Self>())
    }
}

/// Grants for tokens to share: a gateway remembers many tokens.
///
/// It has few, and small ones, so that they need not be counted for any token: whoever
/// counted for one that others share would have to count again when its token is gone.
#[derive(Debug, Default)]
pub struct KnownGrants {
    hashes: RandomState,
    /// By hash. One that a token has stays.
    slots: RefCell<[Option<Rc<Grant>>; Self::SLOTS]>,
}

impl KnownGrants {
    /// As many as there are clients with many tokens, or some of them.
    const SLOTS: usize = 32;

    /// In how many slots a grant may be.
    const TRIED: usize = 4;

    /// The size of those that are shared.
    const MAX_BYTES: usize = 1024;

    /// Makes it one that other tokens share, if it can be: the memory of its own that the
    /// token needs for it is returned.
    pub(super) fn share(&self, grant: &mut Rc<Grant>) -> usize {
        let bytes = grant.bytes();
        if bytes > Self::MAX_BYTES {
            return bytes;
        }
        let [first, ..] = self.hashes.hash_one(&*grant).to_le_bytes();
        let mut slots = self.slots.borrow_mut();
        let (from, mut free) = (usize::from(first), None);
        for at in (from..from.saturating_add(Self::TRIED)).map(|at| at % Self::SLOTS) {
            match slots.get(at) {
                Some(Some(known)) if known == grant => {
                    *grant = Rc::clone(known);
                    return 0;
                }
                Some(Some(known)) if Rc::strong_count(known) > 1 => {}
                _ => free = free.or(Some(at)),
            }
        }
        let Some(slot) = free.and_then(|free| slots.get_mut(free)) else { return bytes };
        *slot = Some(Rc::clone(grant));
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(client: &str) -> Rc<Grant> {
        Rc::new(Grant { client: Some(client.into()), ..Grant::default() })
    }

    #[test]
    fn equal_grants_are_shared_and_others_are_not() {
        let known = KnownGrants::default();
        let mut kept = grant("web");
        assert_eq!(known.share(&mut kept), 0);
        let mut again = grant("web");
        assert_eq!(known.share(&mut again), 0);
        assert!(Rc::ptr_eq(&kept, &again));
        for number in 0..1000 {
            let mut other = grant(&number.to_string());
            known.share(&mut other);
            assert_eq!(other, grant(&number.to_string()));
        }
        let mut last = grant("web");
        known.share(&mut last);
        assert!(Rc::ptr_eq(&kept, &last), "it stays while a token has it");
    }

    /// Or a worker would need more than its caches tell.
    #[test]
    fn what_is_not_shared_is_counted() {
        let known = KnownGrants::default();
        let mut kept: Vec<_> = (0..1000).map(|number| grant(&number.to_string())).collect();
        let counted = kept.iter_mut().filter_map(|own| Some(known.share(own)).filter(|it| *it > 0));
        let counted = counted.count();
        let held = known.slots.borrow().iter().flatten().count();
        assert_eq!((counted, held), (1000 - KnownGrants::SLOTS, KnownGrants::SLOTS));
        kept.clear();
        let mut another = grant("web");
        assert_eq!(known.share(&mut another), 0, "there is room again");

        let long = "x".repeat(KnownGrants::MAX_BYTES);
        let (mut one, mut other) = (grant(&long), grant(&long));
        assert!(known.share(&mut one) > long.len());
        assert!(known.share(&mut other) > long.len());
        assert!(!Rc::ptr_eq(&one, &other), "its memory is that of one token");
    }
}
