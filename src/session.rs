//! Tokens seen before: what their verification found, and the identity minted
//! for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::bounded::ByText;
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
    memory: Share,
}

impl Session {
    /// A token: one that was verified with one of `keys`, or a reference token,
    /// without keys, that its issuer said to be active.
    fn new(
        who: Authenticated,
        clearance: Clearance,
        keys: Option<Rc<KeySet>>,
        verified_at: UnixTime,
        memory: Share,
    ) -> Self {
        let clearance = Cell::new(clearance);
        let note = AccessNote {
            consumer: who.consumer().map(|consumer| log_word(consumer.name()).into()),
            subject: Some(log_word(who.token().subject()).into()),
            ..AccessNote::EMPTY
        };
        Self { who, keys, verified_at, clearance, identity: RefCell::new(None), note, memory }
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

    /// Keeps an identity for the next request. The token's claims have served,
    /// unless requests ask for them.
    pub fn keep(&self, identity: Rc<Identity>) {
        if !self.memory.of.asks_claims {
            self.who.token().claims().fold();
        }
        self.memory.set_extra(identity.bytes());
        self.identity.replace(Some(identity));
    }
}

/// Sessions by their whole token, at most a fixed number of them, and of the
/// bytes that they take; the one not used for longest goes first.
#[derive(Debug)]
pub struct Sessions {
    known: ByText<Rc<Session>>,
    memory: Rc<Memory>,
    max_bytes: usize,
}

impl Sessions {
    /// Room for `max_entries` in about `max_bytes`; none at all keeps nothing.
    /// `asks_claims` says that requests whose token is known ask for its claims.
    pub fn new(max_entries: usize, max_bytes: usize, asks_claims: bool) -> Self {
        let memory = Rc::new(Memory { used: Cell::new(0), asks_claims });
        Self { known: ByText::new(max_entries), memory, max_bytes }
    }

    /// The session of a token.
    pub fn get(&mut self, token: &[u8]) -> Option<Rc<Session>> {
        self.known.get_mut(token).map(|session| Rc::clone(session))
    }

    /// Makes and keeps the session of a token that was verified with one of
    /// `keys`.
    pub fn of_jwt(
        &mut self,
        token: &[u8],
        who: Authenticated,
        clearance: Clearance,
        keys: Rc<KeySet>,
        now: UnixTime,
    ) -> Rc<Session> {
        let memory = Share::of(&self.memory, token.len());
        let session = Rc::new(Session::new(who, clearance, Some(keys), now, memory));
        self.known.insert(token, Rc::clone(&session));
        self.make_room();
        session
    }

    /// Makes the session of a reference token, which is kept elsewhere, but in
    /// the same memory.
    pub fn of_reference(
        &mut self,
        token: &[u8],
        who: Authenticated,
        clearance: Clearance,
        now: UnixTime,
    ) -> Rc<Session> {
        let memory = Share::of(&self.memory, token.len());
        let session = Rc::new(Session::new(who, clearance, None, now, memory));
        self.make_room();
        session
    }

    fn make_room(&mut self) {
        while self.memory.used.get() > self.max_bytes && self.known.forget_oldest() {}
    }

    /// How many tokens were forgotten for want of room, since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        self.known.take_evicted()
    }

    /// Forgets a token.
    pub fn remove(&mut self, token: &[u8]) {
        self.known.remove(token);
    }
}

/// About how many bytes all sessions take, those included that were forgotten
/// and are still in use.
#[derive(Debug)]
struct Memory {
    used: Cell<usize>,
    /// Whether claims stay as they are read, which takes several times as much.
    asks_claims: bool,
}

/// What a session takes of it, until it is dropped.
#[derive(Debug)]
struct Share {
    of: Rc<Memory>,
    own: usize,
    extra: Cell<usize>,
}

impl Share {
    /// What a session takes beside texts: its parts and their places in tables.
    const SESSION: usize = 512;

    /// The share of a token of `length` bytes: it is kept as it came, and its
    /// claims, which are less than half of it.
    fn of(memory: &Rc<Memory>, length: usize) -> Self {
        let claims = if memory.asks_claims { length.saturating_mul(2) } else { length / 2 };
        let own = length.saturating_add(claims).saturating_add(Self::SESSION);
        memory.used.set(memory.used.get().saturating_add(own));
        Self { of: Rc::clone(memory), own, extra: Cell::new(0) }
    }

    fn set_extra(&self, bytes: usize) {
        let others = self.of.used.get().saturating_sub(self.extra.replace(bytes));
        self.of.used.set(others.saturating_add(bytes));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set_extra(0);
        self.of.used.set(self.of.used.get().saturating_sub(self.own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_back() {
        let memory = Rc::new(Memory { used: Cell::new(0), asks_claims: false });
        let (one, two) = (Share::of(&memory, 100), Share::of(&memory, 200));
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 450);
        one.set_extra(1000);
        one.set_extra(50);
        two.set_extra(7);
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 507);
        drop(one);
        assert_eq!(memory.used.get(), Share::SESSION + 307);
        drop(two);
        assert_eq!(memory.used.get(), 0);
    }
}
