//! Cached tokens: the result of their verification, and the identities minted for them.
//!
//! A gateway remembers many tokens, so what it keeps of each is small: not the token itself,
//! nor its claims while each request presents them, and what others have too is shared.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::access_log::AccessLogFields;
use crate::bounded::ByText;
use crate::consumer::Consumer;
use crate::http::{log_word, shared_log_word};
use crate::identity::{Authenticated, Identities, Identity, Replaced};
use crate::keys::KeySet;
use crate::overrides::TemplateKey;
use crate::revocation::RevocationEpoch;
use crate::time::{Period, UnixTime};
use crate::token::{KnownGrants, PresentedToken};

/// The words by which the access log names the token's holder.
#[derive(Clone, Debug)]
struct Holder {
    consumer: Option<Rc<str>>,
    actor: Option<Rc<str>>,
    subject: Rc<str>,
}

impl Holder {
    /// `None` if the subject alone is named, as it is.
    fn of(principal: &Authenticated) -> Option<Self> {
        let token = principal.token();
        let holder = Self {
            consumer: principal.consumer().map(|consumer| log_word(consumer.name()).into()),
            actor: token.actor().map(|actor| log_word(actor.name()).into()),
            subject: shared_log_word(token.shared_subject()),
        };
        let is_plain = holder.consumer.is_none()
            && holder.actor.is_none()
            && Rc::ptr_eq(&holder.subject, token.shared_subject());
        (!is_plain).then_some(holder)
    }

    fn bytes(&self) -> usize {
        let words = [self.consumer.as_ref(), self.actor.as_ref(), Some(&self.subject)];
        let words = words.into_iter().flatten().map(|word| word.len());
        words.fold(size_of::<Rare>(), usize::saturating_add)
    }
}

/// The verified state of one public token.
pub struct Session {
    principal: Authenticated,
    /// The keys that verified it; none for a reference token.
    keys: Option<Rc<KeySet>>,
    verified_at: UnixTime,
    epoch: Cell<RevocationEpoch>,
    identities: Cell<Identities>,
    /// In memory of its own, as most have nothing of it.
    rare: Option<Box<Rare>>,
    memory: Share,
    /// How much is kept of its claims.
    claims: Kept,
}

#[derive(Debug, Default)]
struct Rare {
    /// If the access log needs more than the subject as it is.
    logged: Option<Holder>,
    /// The transaction token, if the session is for one.
    replaced: Option<Replaced>,
}

impl fmt::Debug for Session {
    /// Whose it is, and nothing that was minted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl Session {
    /// A session: for a JWT verified with one of `keys`, or without keys for a reference
    /// token that its issuer reported active.
    fn new(
        mut principal: Authenticated,
        epoch: RevocationEpoch,
        keys: Option<Rc<KeySet>>,
        verified_at: UnixTime,
        claims: Kept,
        (memory, grants): (&Rc<Memory>, &KnownGrants),
    ) -> Self {
        let grant = principal.share_grant(grants);
        let logged = Holder::of(&principal);
        let words = logged.as_ref().map_or(0, Holder::bytes);
        let memory = Share::new(memory, principal.token().claims_bytes());
        let others = principal.token().bytes();
        memory.set_other(words.saturating_add(others).saturating_add(grant));
        Self {
            principal,
            keys,
            verified_at,
            epoch: Cell::new(epoch),
            identities: Cell::default(),
            rare: logged.map(|logged| Box::new(Rare { logged: Some(logged), replaced: None })),
            memory,
            claims,
        }
    }

    /// The transaction token that a request presented.
    pub fn replaced(&self) -> Option<&Replaced> {
        self.rare.as_ref()?.replaced.as_ref()
    }

    /// Whether its issuer was asked about the token, instead of verifying it with keys.
    pub const fn is_reference(&self) -> bool {
        self.keys.is_none()
    }

    /// Fields for the access log.
    pub fn access_log(&self) -> AccessLogFields {
        let Some(holder) = self.rare.as_ref().and_then(|rare| rare.logged.as_ref()) else {
            let subject = Rc::clone(self.principal.token().shared_subject());
            return AccessLogFields { subject: Some(subject), ..AccessLogFields::EMPTY };
        };
        let Holder { consumer, actor, subject } = Holder::clone(holder);
        AccessLogFields { consumer, actor, subject: Some(subject), ..AccessLogFields::EMPTY }
    }

    /// The token, with the text by which a request presents it: that of the session's
    /// token.
    pub fn presented<'a>(&'a self, text: &'a [u8]) -> PresentedToken<'a> {
        self.principal.token().presented(text)
    }

    /// The token's holder.
    pub const fn principal(&self) -> &Authenticated {
        &self.principal
    }

    /// True if the token would be accepted again `now`: it has not expired, and its issuer
    /// still publishes the same keys. After the clock was set back it must be verified
    /// anew.
    // RFC 7519 section 4.1.4 (R65)
    pub fn is_still_valid(&self, current: Option<&Rc<KeySet>>, now: UnixTime) -> bool {
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
        let identities = self.identities.take();
        let found = identities.get(template).filter(|own| own.is_reusable(now)).cloned();
        self.identities.set(identities);
        found
    }

    /// Drops the minted identities.
    pub fn forget_identities(&self) {
        self.identities.take();
        self.memory.set_identities(0);
    }

    /// Keeps an identity for the next request. The token's claims are no longer needed
    /// parsed, unless requests check them.
    pub fn keep(&self, identity: Rc<Identity>) {
        let (token, mut identities) = (self.principal.token(), self.identities.take());
        match self.claims {
            Kept::Parsed if identities.is_empty() => token.trim_claims(),
            Kept::Parsed => {}
            Kept::Folded => token.compact_claims(false),
            Kept::InToken => token.compact_claims(true),
        }
        self.memory.set_claims(token.claims_bytes());
        identities.keep(identity);
        self.memory.set_identities(identities.bytes());
        self.identities.set(identities);
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

/// How much is kept of a token's claims once an identity was minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of them, parsed: each request checks some.
    Parsed,
    /// All of them, as text.
    Folded,
    /// None, if the requests present a token that contains them.
    InToken,
}

/// Sessions by their token, bounded in number and in bytes; evicts the least recently
/// used.
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
    claims: Kept,
    grants: KnownGrants,
}

impl Sessions {
    /// Caches this many tokens in about `max_bytes`; zero disables the cache. `claims`: how
    /// much is kept of those of a JWT. Whoever knows `secret` might find another text for a
    /// cached token.
    pub fn new(
        (max_jwts, max_references): (usize, usize),
        max_bytes: usize,
        claims: Kept,
        secret: &[u8],
    ) -> Self {
        // A session grows when an identity is minted, so its memory is counted here.
        Self {
            jwts: ByText::new(max_jwts, usize::MAX, secret),
            jwt_memory: Rc::default(),
            references: ByText::new(max_references, usize::MAX, secret),
            reference_memory: Rc::default(),
            max_bytes,
            claims,
            grants: KnownGrants::default(),
        }
    }

    /// How much is kept of claims that no request presents.
    fn apart(&self) -> Kept {
        if self.claims == Kept::InToken { Kept::Folded } else { self.claims }
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
        let claims = if token.is_sealed { self.apart() } else { self.claims };
        self.keep_jwt(token.text, principal, epoch, keys, now, claims)
    }

    fn keep_jwt(
        &mut self,
        text: &[u8],
        principal: Authenticated,
        epoch: RevocationEpoch,
        keys: Rc<KeySet>,
        verified_at: UnixTime,
        claims: Kept,
    ) -> Rc<Session> {
        let memory = (&self.jwt_memory, &self.grants);
        let session = Session::new(principal, epoch, Some(keys), verified_at, claims, memory);
        let session = Rc::new(session);
        self.jwts.insert(text, Rc::clone(&session), 0);
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
        let memory = (&self.reference_memory, &self.grants);
        let session = Rc::new(Session::new(principal, epoch, None, now, self.apart(), memory));
        if serves.contains(now) {
            self.references.insert(token, (Rc::clone(&session), serves), 0);
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
        let memory = (&self.jwt_memory, &self.grants);
        let mut session = Session::new(principal, epoch, None, now, self.apart(), memory);
        session.rare.get_or_insert_default().replaced = Some(replaced);
        Rc::new(session)
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
            let (at, claims) = (session.verified_at, session.claims);
            return self.keep_jwt(text, principal, epoch, keys, at, claims);
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
#[derive(Debug, Default)]
struct Memory {
    used: Cell<usize>,
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
    // In 32 bits each, as there is one of them for each session; no part has 4 GiB.
    claims: Cell<u32>,
    identities: Cell<u32>,
    other: Cell<u32>,
}

impl Share {
    /// Memory of a session besides texts: its structs, slots in tables, and what the
    /// allocator adds to each of its blocks.
    const SESSION: usize = if cfg!(target_pointer_width = "64") { 400 } else { 280 };

    fn new(of: &Rc<Memory>, claims: usize) -> Self {
        of.add(Self::SESSION);
        let none = || Cell::new(0);
        let share = Self { of: Rc::clone(of), claims: none(), identities: none(), other: none() };
        share.set_claims(claims);
        share
    }

    fn set_claims(&self, bytes: usize) {
        self.set(&self.claims, bytes);
    }

    fn set_identities(&self, bytes: usize) {
        self.set(&self.identities, bytes);
    }

    fn set_other(&self, bytes: usize) {
        self.set(&self.other, bytes);
    }

    fn set(&self, part: &Cell<u32>, bytes: usize) {
        let counted = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.of.remove(as_bytes(part.replace(counted)));
        self.of.add(as_bytes(counted));
    }
}

const fn as_bytes(counted: u32) -> usize {
    counted as usize
}

impl Drop for Share {
    fn drop(&mut self) {
        [&self.claims, &self.identities, &self.other]
            .into_iter()
            .for_each(|part| self.set(part, 0));
        self.of.remove(Self::SESSION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_back() {
        let memory = Rc::<Memory>::default();
        let (one, two) = (Share::new(&memory, 400), Share::new(&memory, 0));
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 400);
        one.set_claims(100);
        one.set_identities(1000);
        one.set_identities(50);
        two.set_identities(7);
        two.set_other(300);
        assert_eq!(memory.used.get(), 2 * Share::SESSION + 457);
        drop(one);
        assert_eq!(memory.used.get(), Share::SESSION + 307);
        drop(two);
        assert_eq!(memory.used.get(), 0);
    }
}
