//! Requests whose cost is counted, carried out as a native door does: the head is one
//! piece of memory, every action and every log line is read, and everything is dropped.

use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use gatepass::callout::CalloutReply;
use gatepass::config;
use gatepass::gateway::{Action, CalloutId, Gateway, RequestId};
use gatepass::host::HostCapabilities;
use gatepass::http::{Fields, RequestHead};
use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};
use gatepass::time::UnixTime;
use gatepass_native::AwsLc;

use crate::shop::{FIELDS, KNOWN_USER, Kind, claims, configuration, forge, subject, user};
use crate::tokens::Signer;

/// A whole second, so that every number of a token has always as many digits.
pub const NOW: UnixTime = UnixTime::from_secs(1_764_000_000);

/// A request to be counted, with all that it needs from outside.
pub struct Prepared {
    head: RequestHead,
    /// The user service's reply, if that is asked.
    reply: Option<CalloutReply>,
    passes: bool,
}

impl Prepared {
    /// A request of a user who is known.
    pub fn of(token: &str) -> Self {
        Self { head: head(token), reply: None, passes: true }
    }
}

/// Where tokens come from.
enum Tokens {
    /// From their issuers, who keep a record of them.
    Signed { signers: Box<[Signer; 2]>, record: Vec<String> },
    /// From such a record.
    Recorded(VecDeque<String>),
}

/// A gateway with the issuers of its tokens.
pub struct World {
    gateway: Gateway,
    tokens: Tokens,
    /// Makes tokens and requests differ.
    next: u64,
}

impl World {
    /// Two rules, user info, a claim as a header, identity tokens by ES256: as the
    /// benchmark of gateways has it.
    pub fn new() -> Self {
        let signers = ["RS256", "ES256"].map(Signer::new);
        let config = configuration(&signers).to_string();
        let tokens = Tokens::Signed { signers: Box::new(signers), record: vec![config.clone()] };
        Self::with(&config, tokens)
    }

    /// One like the one with this record, which signs no token anew.
    pub fn recorded(record: &str) -> Self {
        let mut lines = record.lines().map(str::to_owned);
        let config = lines.next().expect("a configuration");
        Self::with(&config, Tokens::Recorded(lines.collect()))
    }

    fn with(config: &str, tokens: Tokens) -> Self {
        let host: Rc<dyn HostCrypto> = Rc::new(Apart);
        let settings = config::load(config.as_bytes(), &|_| None::<String>, Some(host));
        let settings = settings.unwrap_or_else(|problems| panic!("{problems}"));
        let gateway = Gateway::new(settings, HostCapabilities::ENVOY, [7; 16]);
        Self { gateway, tokens, next: 0 }
    }

    /// The configuration and the tokens so far, for [`World::recorded`].
    pub fn record(&self) -> String {
        match &self.tokens {
            Tokens::Signed { record, .. } => record.join("\n"),
            Tokens::Recorded(_) => panic!("it is one"),
        }
    }

    /// Some requests of a kind, after others have made caches and keys ready for it.
    pub fn prepare(&mut self, kind: Kind, count: usize) -> Vec<Prepared> {
        let token = self.token(Kind::Known);
        let user = Some(self.reply(KNOWN_USER));
        self.carry_out(Prepared { head: head(&token), reply: user, passes: true });
        for _ in 0..32 {
            for kind in Kind::ALL {
                let request = self.request(kind);
                self.carry_out(request);
            }
        }
        let _ = self.gateway.take_metrics();
        let known = self.request(Kind::Known);
        let requests = (0..count).map(|_| match kind {
            Kind::Known => Prepared { head: known.head.clone(), reply: None, passes: true },
            kind => self.request(kind),
        });
        let requests = requests.collect();
        self.carry_out(known);
        APART.store(true, Ordering::Relaxed);
        requests
    }

    fn request(&mut self, kind: Kind) -> Prepared {
        let mut token = self.token(kind);
        if kind == Kind::Denied {
            forge(&mut token);
        }
        let reply = (kind == Kind::Callout).then(|| self.reply(&subject(kind, self.next)));
        Prepared { head: head(&token), reply, passes: kind != Kind::Denied }
    }

    /// A token of its kind; of the same user, unless the user is to be asked for.
    pub fn token(&mut self, kind: Kind) -> String {
        self.next += 1;
        match &mut self.tokens {
            Tokens::Recorded(tokens) => tokens.pop_front().expect("a token"),
            Tokens::Signed { signers, record } => {
                let signer = &signers[usize::from(kind == Kind::NewEs256)];
                let token = signer.sign_claims("at+jwt", &claims(kind, self.next, NOW.as_secs()));
                record.push(token.clone());
                token
            }
        }
    }

    /// What the user service says of a user.
    fn reply(&self, subject: &str) -> CalloutReply {
        let fields: Fields = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("date", "Mon, 24 Nov 2025 16:00:00 GMT"),
            ("content-length", "171"),
        ]
        .into_iter()
        .collect();
        let body = user(subject).to_string().into_bytes();
        CalloutReply::whole(Some(200), fields, body, self.gateway.max_reply_bytes())
    }

    /// Carries out a request from its head to its end.
    pub fn carry_out(&mut self, prepared: Prepared) {
        let Prepared { head, reply, passes } = prepared;
        self.next += 1;
        let request = RequestId(self.next);
        self.gateway.begin(request, head, NOW);
        let mut ended = self.act();
        if let (Err(Some(callout)), Some(reply)) = (&ended, &reply) {
            self.gateway.reply(*callout, reply, NOW);
            ended = self.act();
        }
        self.gateway.gone(request);
        assert_eq!(ended, Ok(passes), "the request ended otherwise");
    }

    /// Carries out what the gateway asks for. Whether the request passed, or the callout
    /// that it waits for.
    fn act(&mut self) -> Result<bool, Option<CalloutId>> {
        let mut ended = Err(None);
        while let Some(action) = self.gateway.poll() {
            match action {
                Action::Send(dispatch) => drop(black_box(dispatch)),
                Action::Suspend { dispatch, .. } => {
                    ended = Err(dispatch.as_ref().map(|dispatch| dispatch.id));
                    if let Some(dispatch) = dispatch {
                        black_box(dispatch.callout.head());
                        black_box(dispatch.callout.body());
                    }
                }
                Action::Forward { edits, access_log, .. } => {
                    edits.edits().for_each(|edit| _ = black_box(edit));
                    access_log.entries().for_each(|entry| _ = black_box(entry));
                    ended = Ok(true);
                }
                Action::Reply { reply, access_log, .. } => {
                    black_box(&reply);
                    access_log.entries().for_each(|entry| _ = black_box(entry));
                    ended = Ok(false);
                }
                Action::ReadBody { .. } => panic!("no request has a body"),
            }
        }
        for event in self.gateway.take_log() {
            black_box(event.to_string());
        }
        ended
    }
}

fn head(token: &str) -> RequestHead {
    let authorization = format!("Bearer {token}");
    RequestHead::new(FIELDS.into_iter().chain([("authorization", authorization.as_str())]))
}

/// Whether what is counted has begun: callgrind stops counting where one of these functions
/// begins, so before that it would start.
static APART: AtomicBool = AtomicBool::new(false);

/// AWS-LC, called from functions that callgrind knows by name, to leave it out: the
/// instructions of cryptography depend on the processor and on the library alone.
#[derive(Clone, Copy, Debug)]
struct Apart;

struct VerifiedApart(Rc<dyn HostVerifyingKey>);

struct SignedApart(Rc<dyn HostSigningKey>);

impl HostCrypto for Apart {
    fn verifies(&self) -> AlgorithmSet {
        AwsLc.verifies()
    }

    fn signs(&self) -> AlgorithmSet {
        AwsLc.signs()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        Some(Rc::new(VerifiedApart(AwsLc.verifying_key(algorithm, spki)?)))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        Some(Rc::new(SignedApart(AwsLc.signing_key(algorithm, pkcs8)?)))
    }
}

impl HostVerifyingKey for VerifiedApart {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        if APART.load(Ordering::Relaxed) {
            return cryptography_verifies(&*self.0, message, signature);
        }
        self.0.verify(message, signature)
    }
}

impl HostSigningKey for SignedApart {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        if APART.load(Ordering::Relaxed) {
            return cryptography_signs(&*self.0, message);
        }
        self.0.sign(message)
    }
}

#[inline(never)]
fn cryptography_verifies(
    key: &dyn HostVerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    black_box(key).verify(message, signature)
}

#[inline(never)]
fn cryptography_signs(key: &dyn HostSigningKey, message: &[u8]) -> Option<Vec<u8>> {
    black_box(key).sign(message)
}
