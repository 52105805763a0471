//! Tokens seen before: what their verification found, and the identity minted
//! for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::bounded::Bounded;
use crate::http::log_word;
use crate::identity::{Authenticated, Identity};
use crate::keys::KeySet;
use crate::revocation::Clearance;
use crate::time::UnixTime;
use crate::verdict::AccessNote;

/// What is known of one public token.
#[derive(Debug)]
pub struct Session {
    who: Authenticated,
    /// The keys that it was verified with; none for a reference token.
    keys: Option<Rc<KeySet>>,
    verified_at: UnixTime,
    clearance: Cell<Clearance>,
    identity: RefCell<Option<Rc<Identity>>>,
    note: AccessNote,
}

impl Session {
    /// A token that was verified with one of `keys`.
    pub fn of_jwt(
        who: Authenticated,
        clearance: Clearance,
        keys: Rc<KeySet>,
        verified_at: UnixTime,
    ) -> Self {
        Self { keys: Some(keys), ..Self::of_reference(who, clearance, verified_at) }
    }

    /// A reference token that its issuer said to be active.
    pub fn of_reference(who: Authenticated, clearance: Clearance, verified_at: UnixTime) -> Self {
        let clearance = Cell::new(clearance);
        let note = AccessNote {
            consumer: who.consumer().map(|consumer| log_word(consumer.name()).into()),
            subject: Some(log_word(who.token().subject()).into()),
            ..AccessNote::EMPTY
        };
        Self { who, keys: None, verified_at, clearance, identity: RefCell::new(None), note }
    }

    /// What the access log may print of its requests.
    pub const fn note(&self) -> &AccessNote {
        &self.note
    }

    /// The token's owner.
    pub const fn who(&self) -> &Authenticated {
        &self.who
    }

    /// Whether the token would be accepted again `now`: it is not over, and its
    /// issuer still publishes the same keys. When the clock was set back nothing
    /// is taken for granted.
    pub fn holds(&self, current: Option<&Rc<KeySet>>, now: UnixTime) -> bool {
        let are_current = |keys| current.is_some_and(|current| Rc::ptr_eq(current, keys));
        self.who.token().is_current(now)
            && now >= self.verified_at
            && self.keys.as_ref().is_none_or(are_current)
    }

    /// The lists by which the token was last found not to be revoked.
    pub const fn clearance(&self) -> Clearance {
        self.clearance.get()
    }

    /// Notes by which lists it was found not to be revoked.
    pub fn clear_by(&self, clearance: Clearance) {
        self.clearance.set(clearance);
    }

    /// The identity minted before, if it can be sent again.
    pub fn identity(&self, now: UnixTime) -> Option<Rc<Identity>> {
        self.identity.borrow().as_ref().filter(|identity| identity.is_reusable(now)).cloned()
    }

    /// Forgets the identity minted before.
    pub fn forget_identity(&self) {
        self.identity.take();
    }

    /// Keeps an identity for the next request.
    pub fn keep(&self, identity: Rc<Identity>) {
        self.identity.replace(Some(identity));
    }
}

/// Sessions by their whole token, at most a fixed number of them; the one not
/// used for longest goes first.
///
/// The key is the token itself and no hash of it: that two tokens share an
/// entry is not unlikely but impossible.
#[derive(Debug)]
pub struct Sessions(Bounded<Box<[u8]>, Rc<Session>>);

impl Sessions {
    /// Room for `max_entries`; none at all keeps nothing.
    pub fn new(max_entries: usize) -> Self {
        Self(Bounded::new(max_entries))
    }

    /// The session of a token.
    pub fn get(&mut self, token: &[u8]) -> Option<Rc<Session>> {
        self.0.get_mut(token).map(|session| Rc::clone(session))
    }

    /// Keeps a session; only of a token that was verified.
    pub fn insert(&mut self, token: &[u8], session: Rc<Session>) {
        self.0.insert(token.into(), session);
    }

    /// How many tokens were forgotten for want of room, since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        self.0.take_evicted()
    }

    /// Forgets a token.
    pub fn remove(&mut self, token: &[u8]) {
        self.0.remove(token);
    }
}
