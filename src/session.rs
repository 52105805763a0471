//! Cached tokens: the result of their verification, and the identities minted for them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::access_log::AccessLogFields;
use crate::bounded::ByText;
use crate::consumer::Consumer;
use crate::http::{log_word, shared_log_word};
use crate::identity::{Authenticated, Identity, Replaced};
use crate::keys::KeySet;
use crate::overrides::TemplateKey;
use crate::revocation::RevocationEpoch;
use crate::time::{Period, UnixTime};

/// The maximum number of identities for one token: one for each service that it is used
/// at. The oldest is dropped first.
const MAX_IDENTITIES: usize = 8;

/// The words by which the access log names the token's holder.
#[derive(Clone, Debug)]
struct Holder {
    consumer: Option<Rc<str>>,
    actor: Option<Rc<str>>,
    subject: Rc<str>,
}

/// The verified state of one public token.
#[derive(Debug)]
pub struct Session {
    principal: Authenticated,
    /// The keys that verified it; none for a reference token.
    keys: Option<Rc<KeySet>>,
    verified_at: UnixTime,
    epoch: Cell<RevocationEpoch>,
    /// By template; the latest come last.
    identities: RefCell<Vec<(TemplateKey, Rc<Identity>)>>,
    logged: Holder,
    memory: Share,
    /// The token itself, if it is a JWT: its claims can be parsed again.
    jwt: Option<Rc<[u8]>>,
    /// The transaction token, if the session is for one.
    replaced: Option<Box<Replaced>>,
}

impl Session {
    /// A session: for a JWT verified with one of `keys`, or without keys for a reference
    /// token that its issuer reported active.
    fn new(
        principal: Authenticated,
        epoch: RevocationEpoch,
        keys: Option<Rc<KeySet>>,
        verified_at: UnixTime,
        memory: Share,
    ) -> Self {
        let epoch = Cell::new(epoch);
        let logged = Holder {
            consumer: principal.consumer().map(|consumer| log_word(consumer.name()).into()),
            actor: principal.token().actor().map(|actor| log_word(actor.name()).into()),
            subject: shared_log_word(principal.token().shared_subject()),
        };
        Self {
            principal,
            keys,
            verified_at,
            epoch,
            identities: RefCell::default(),
            logged,
            memory,
            jwt: None,
            replaced: None,
        }
    }

    /// The transaction token that a request presented.
    pub fn replaced(&self) -> Option<&Replaced> {
        self.replaced.as_deref()
    }

    /// Whether its issuer was asked about the token, instead of verifying it with keys.
    pub const fn is_reference(&self) -> bool {
        self.keys.is_none()
    }

    /// Fields for the access log.
    pub fn access_log(&self) -> AccessLogFields {
        let Holder { consumer, actor, subject } = self.logged.clone();
        AccessLogFields { consumer, actor, subject: Some(subject), ..AccessLogFields::EMPTY }
    }

    /// The token's holder.
    pub const fn principal(&self) -> &Authenticated {
        &self.principal
    }

    /// True if the token would be accepted again `now`: it has not expired, and its issuer
    /// still publishes the same keys. After the clock was set back it must be verified
    /// anew.
    // RFC 7519 section 4.1.4 (R65)
    pub fn holds(&self, current: Option<&Rc<KeySet>>, now: UnixTime) -> bool {
        let are_current = |keys| current.is_some_and(|current| Rc::ptr_eq(current, keys));
        self.principal.token().is_current(now)
            && now >= self.verified_at
            && self.keys.as_ref().is_none_or(are_current)
    }

    /// The state of the revocation lists at the token's last check.
    pub const fn epoch(&self) -> RevocationEpoch {
        self.epoch.get()
    }

    /// Records the state of the revocation lists that admitted it.
    pub fn set_epoch(&self, epoch: RevocationEpoch) {
        self.epoch.set(epoch);
    }

    /// The identity minted earlier for the same template, if it can be sent again.
    pub fn identity(&self, template: &TemplateKey, now: UnixTime) -> Option<Rc<Identity>> {
        let identities = self.identities.borrow();
        let found = identities.iter().find(|(own, _)| own == template);
        found.map(|(_, identity)| identity).filter(|identity| identity.is_reusable(now)).cloned()
    }

    /// Drops the minted identities.
    pub fn forget_identities(&self) {
        self.identities.take();
    }

    /// Keeps an identity for the next request. The token's claims are no longer needed
    /// parsed, unless requests check them.
    pub fn keep(&self, template: TemplateKey, identity: Rc<Identity>) {
        if !self.memory.of.asks_claims {
            self.principal.token().claims().compact(self.jwt.as_ref());
            self.memory.compact();
        }
        let mut identities = self.identities.borrow_mut();
        identities.retain(|(own, _)| *own != template);
        if identities.len() >= MAX_IDENTITIES {
            identities.remove(0);
        }
        // Most tokens have one, and a list would make room for four.
        identities.reserve_exact(1);
        identities.push((template, identity));
        let bytes = identities.iter().map(|(_, identity)| identity.bytes());
        self.memory.set_identity(bytes.fold(0, usize::saturating_add));
    }
}

/// A verified token, as sent.
#[derive(Clone, Copy)]
pub struct VerifiedText<'a> {
    /// The token.
    pub text: &'a [u8],
    /// Whether `text` is not the JWT itself, but its sealed form.
    pub is_sealed: bool,
}

/// Sessions by their whole token, bounded in number and in bytes; evicts the least
/// recently used.
///
/// JWTs and reference tokens are kept apart, but share one memory limit: when it is
/// reached, the kind that uses more of it makes room.
#[derive(Debug)]
pub struct Sessions {
    jwts: ByText<Rc<Session>>,
    jwt_memory: Rc<Memory>,
    /// With the period in which the issuer's response may be used.
    references: ByText<(Rc<Session>, Period)>,
    reference_memory: Rc<Memory>,
    max_bytes: usize,
}

impl Sessions {
    /// Caches this many tokens in about `max_bytes`; zero disables the cache.
    /// `asks_claims`: whether requests with cached tokens check claims.
    pub fn new(
        max_jwts: usize,
        max_references: usize,
        max_bytes: usize,
        asks_claims: bool,
    ) -> Self {
        let memory = || Rc::new(Memory { used: Cell::new(0), asks_claims });
        // A session grows when an identity is minted, so its memory is counted here.
        Self {
            jwts: ByText::new(max_jwts, usize::MAX),
            jwt_memory: memory(),
            references: ByText::new(max_references, usize::MAX),
            reference_memory: memory(),
            max_bytes,
        }
    }

    /// The session of a JWT.
    pub fn get(&mut self, token: &[u8]) -> Option<Rc<Session>> {
        self.jwts.get_mut(token).map(|session| Rc::clone(session))
    }

    /// The session of a reference token, while its issuer's response may be used.
    pub fn reference(&mut self, token: &[u8], now: UnixTime) -> Option<Rc<Session>> {
        let (session, serves) = self.references.get_mut(token)?;
        if serves.contains(now) {
            return Some(Rc::clone(session));
        }
        self.references.remove(token);
        None
    }

    /// Makes and caches the session of a token verified with one of `keys`.
    pub fn of_jwt(
        &mut self,
        token: VerifiedText<'_>,
        principal: Authenticated,
        epoch: RevocationEpoch,
        keys: Rc<KeySet>,
        now: UnixTime,
    ) -> Rc<Session> {
        let text: Rc<[u8]> = token.text.into();
        let jwt = (!token.is_sealed).then(|| Rc::clone(&text));
        let stays = jwt.is_some() && principal.token().claims().can_stay_in_token();
        let memory = Share::of(&self.jwt_memory, token.text, &principal, stays);
        let session = Session::new(principal, epoch, Some(keys), now, memory);
        let session = Rc::new(Session { jwt, ..session });
        self.jwts.insert(text, Rc::clone(&session));
        self.make_room();
        session
    }

    /// Makes the session of a reference token, and caches it for the period `serves` of
    /// the issuer's response.
    pub fn of_reference(
        &mut self,
        token: &[u8],
        principal: Authenticated,
        epoch: RevocationEpoch,
        serves: Period,
        now: UnixTime,
    ) -> Rc<Session> {
        let memory = Share::of(&self.reference_memory, token, &principal, false);
        let session = Rc::new(Session::new(principal, epoch, None, now, memory));
        if serves.contains(now) {
            self.references.insert(token.into(), (Rc::clone(&session), serves));
            self.make_room();
        }
        session
    }

    /// Makes the session of a transaction token, for one request only.
    pub fn of_transaction(
        &self,
        principal: Authenticated,
        epoch: RevocationEpoch,
        replaced: Replaced,
        now: UnixTime,
    ) -> Rc<Session> {
        let memory = Share::of(&self.jwt_memory, &[], &principal, false);
        let session = Session::new(principal, epoch, None, now, memory);
        Rc::new(Session { replaced: Some(Box::new(replaced)), ..session })
    }

    /// Replaces the consumer of a session: identities minted for the former one are
    /// dropped.
    pub fn change_consumer(
        &mut self,
        text: &[u8],
        session: &Session,
        consumer: Option<Rc<Consumer>>,
        now: UnixTime,
    ) -> Rc<Session> {
        let (principal, epoch) = (session.principal.with_consumer(consumer), session.epoch());
        if let Some(keys) = session.keys.clone() {
            let token = VerifiedText { text, is_sealed: session.jwt.is_none() };
            return self.of_jwt(token, principal, epoch, keys, session.verified_at);
        }
        let serves = self.references.get_mut(text).map(|(_, serves)| *serves);
        self.of_reference(text, principal, epoch, serves.unwrap_or(Period::new(now, now)), now)
    }

    fn make_room(&mut self) {
        loop {
            let (jwts, references) = (self.jwt_memory.used.get(), self.reference_memory.used.get());
            if jwts.saturating_add(references) <= self.max_bytes {
                return;
            }
            let is_gone = jwts >= references && self.jwts.forget_oldest()
                || self.references.forget_oldest()
                || self.jwts.forget_oldest();
            if !is_gone {
                return;
            }
        }
    }

    /// The number of JWTs evicted since the last call.
    pub const fn take_evicted(&mut self) -> u64 {
        self.jwts.take_evicted()
    }

    /// The number of reference tokens evicted since the last call.
    pub const fn take_evicted_references(&mut self) -> u64 {
        self.references.take_evicted()
    }

    /// The approximate memory of JWTs, and of reference tokens.
    pub fn bytes(&self) -> (usize, usize) {
        (self.jwt_memory.used.get(), self.reference_memory.used.get())
    }

    /// Removes a JWT.
    pub fn remove(&mut self, token: &[u8]) {
        self.jwts.remove(token);
    }
}

/// The approximate size of all sessions in bytes, including evicted ones that are still
/// in use.
#[derive(Debug)]
struct Memory {
    used: Cell<usize>,
    /// True if claims stay parsed, which takes several times the memory.
    asks_claims: bool,
}

impl Memory {
    fn add(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_add(bytes));
    }

    fn remove(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes));
    }
}

/// The share of one session, released when it is dropped.
#[derive(Debug)]
struct Share {
    of: Rc<Memory>,
    token: usize,
    claims: Cell<usize>,
    /// Memory of the claims as JSON text.
    compacted: usize,
    identity: Cell<usize>,
}

impl Share {
    /// Memory of a session besides texts: its structs, slots in tables, and what the
    /// allocator adds to each of its blocks.
    const SESSION: usize = if cfg!(target_pointer_width = "64") { 864 } else { 512 };

    /// The share of a token: its text, and its claims, which for a reference token come
    /// from elsewhere.
    fn of(
        memory: &Rc<Memory>,
        token: &[u8],
        principal: &Authenticated,
        claims_stay_in_token: bool,
    ) -> Self {
        let claims = principal.token().claims().document().bytes();
        let compacted = if claims_stay_in_token { 0 } else { claims };
        Self::new(memory, token.len(), claims, compacted)
    }

    fn new(memory: &Rc<Memory>, token: usize, claims: usize, compacted: usize) -> Self {
        let token = token.saturating_add(Self::SESSION);
        let (of, claims) = (Rc::clone(memory), Cell::new(claims));
        let share = Self { of, token, claims, compacted, identity: Cell::new(0) };
        share.of.add(token.saturating_add(share.claims.get()));
        share
    }

    /// The claims were compacted.
    fn compact(&self) {
        self.set(&self.claims, self.compacted);
    }

    fn set_identity(&self, bytes: usize) {
        self.set(&self.identity, bytes);
    }

    fn set(&self, part: &Cell<usize>, bytes: usize) {
        self.of.remove(part.replace(bytes));
        self.of.add(bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let parts = [self.token, self.claims.get(), self.identity.get()];
        parts.into_iter().for_each(|part| self.of.remove(part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_back() {
        let memory = Rc::new(Memory { used: Cell::new(0), asks_claims: false });
        let (one, two) = (Share::new(&memory, 100, 400, 100), Share::new(&memory, 200, 0, 0));
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 700);
        one.compact();
        one.set_identity(1000);
        one.set_identity(50);
        two.set_identity(7);
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 457);
        drop(one);
        assert_eq!(memory.used.get(), Share::SESSION + 207);
        drop(two);
        assert_eq!(memory.used.get(), 0);
    }
}
