//! A worker: a gateway, its callouts under way and the requests that wait.

use std::collections::HashMap;

use gatepass::callout::{Callout, CalloutReply};
use gatepass::config;
use gatepass::host::{HostCapabilities, RequestId};
use gatepass::http::RequestHead;
use gatepass::pipeline::{CalloutId, Dispatch, Pipeline, Step, Submission, Waiting};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::Value;

use super::facts::Public;
use super::outside::{self, Fact, SLOW_MS};
use super::signatures::Signatures;
use super::stores::Store;

/// A request of a client's.
#[derive(Clone, Debug)]
pub struct Client {
    pub token: Public,
    /// What it wants to revoke, if that is what it came for.
    pub entry: Option<Value>,
}

/// A callout under way.
pub struct Open {
    pub flight: CalloutId,
    pub callout: Callout,
    /// When it was asked, in real time and by the clock.
    pub asked: i64,
    pub asked_clock: i64,
    /// How many pages of the feed had been read then.
    pub pages: usize,
    /// Whether another one asked the same meanwhile, as requests do on Kong.
    pub is_again: bool,
    /// What the service made of it when it came.
    pub then: (Fact, CalloutReply),
}

pub struct Worker {
    pub id: usize,
    pub listener: usize,
    /// When it started, in real time.
    pub started: i64,
    /// When it ticked last with no keys under way, in real time: it looks then at what others
    /// have shared.
    pub ticked: i64,
    pub version: usize,
    pub gateway: Pipeline,
    /// The path of its endpoint.
    revocations: &'static str,
    pub host: HostCapabilities,
    pub open: Vec<Open>,
    pub closed: Vec<CalloutId>,
    pub waiting: HashMap<CalloutId, Vec<(Client, Waiting)>>,
    pub submissions: Vec<(Client, Submission)>,
    /// When the same was asked before by a tick, in real time.
    pub asked: HashMap<String, Vec<i64>>,
}

/// The end of a request.
pub type End = (Client, Verdict);

impl Worker {
    pub fn new(
        id: usize,
        listener: usize,
        (version, started): (usize, i64),
        (host, signatures): (HostCapabilities, Signatures),
        store: &Store,
    ) -> Self {
        let config = outside::text(listener, version).as_bytes();
        let settings = config::load(config, &|_| None, signatures.host())
            .unwrap_or_else(|problems| panic!("{problems}"));
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&id.to_be_bytes());
        let mut gateway = Pipeline::new(settings, host, seed);
        gateway.share(Box::new(store.clone()));
        Self {
            id,
            listener,
            started,
            ticked: started,
            version,
            gateway,
            revocations: outside::endpoint(version),
            host,
            open: Vec::new(),
            closed: Vec::new(),
            waiting: HashMap::new(),
            submissions: Vec::new(),
            asked: HashMap::new(),
        }
    }

    pub fn send(&mut self, sent: Dispatch, now: UnixTime, real: i64, outside: &outside::Outside) {
        let then = outside.answer(&sent.callout, real);
        let Dispatch { id: flight, callout } = sent;
        let asked_clock = now.as_millis();
        let pages = outside.pages;
        let is_again = self.open.iter().any(|open| is_alike(&open.callout, &callout));
        let asked = real;
        self.open.push(Open { flight, callout, asked, asked_clock, pages, is_again, then });
    }

    /// Whether keys are under way for which it waits. On Kong it does not wait for those of a
    /// request for longer than a callout may take.
    pub fn awaits_keys(&self, real: i64, jumped: i64) -> bool {
        let services = ["idp", "idp-d", "idp-e", "keys"];
        self.open.iter().any(|open| {
            let is_late = !self.host.resumes_others && real - open.asked.max(jumped) > SLOW_MS;
            services.contains(&open.callout.service.upstream.as_str()) && !is_late
        })
    }

    /// Takes a step; gives the end of a request.
    pub fn take(
        &mut self,
        client: Client,
        step: Step,
        now: UnixTime,
        real: i64,
        outside: &outside::Outside,
    ) -> Option<End> {
        match step {
            Step::Done(verdict, _) => return Some((client, verdict)),
            Step::Wait(sent, waiting) => {
                assert_eq!(sent.id, waiting.callout());
                self.send(sent, now, real, outside);
                self.waiting.entry(waiting.callout()).or_default().push((client, waiting));
            }
            Step::Join(waiting) => {
                assert!(self.host.resumes_others, "nobody else can resume it");
                let flight = waiting.callout();
                assert!(self.open.iter().any(|open| open.flight == flight), "it is under way");
                self.waiting.entry(flight).or_default().push((client, waiting));
            }
            Step::Receive(submission) => self.submissions.push((client, submission)),
        }
        None
    }

    pub fn begin(
        &mut self,
        client: Client,
        now: UnixTime,
        real: i64,
        outside: &outside::Outside,
    ) -> Option<End> {
        let (method, path, body) = match &client.entry {
            Some(entry) => ("POST", self.revocations, body_of(entry).len().to_string()),
            None => ("GET", "/orders", "0".to_owned()),
        };
        let bearer = format!("Bearer {}", client.token.text);
        let fields = [
            (":method", method),
            (":path", path),
            (":authority", "shop.example"),
            ("content-length", &body),
            ("authorization", &bearer),
        ];
        let step = self.gateway.begin(RequestId::default(), RequestHead::new(fields), now);
        self.take(client, step, now, real, outside)
    }

    /// Lands a reply and resumes all that wait for it; gives who is at the end.
    pub fn complete(
        &mut self,
        at: usize,
        reply: &CalloutReply,
        now: UnixTime,
        real: i64,
        outside: &outside::Outside,
    ) -> Vec<End> {
        let open = self.open.remove(at);
        self.closed.push(open.flight);
        let landing = self.gateway.complete(open.flight, reply, now).expect("it was under way");
        let resumed = self.waiting.remove(&open.flight).unwrap_or_default();
        let mut ends = Vec::new();
        for (client, waiting) in resumed {
            let step = self.gateway.resume(waiting, &landing, now);
            ends.extend(self.take(client, step, now, real, outside));
        }
        ends
    }

    /// Hands over the body of a request to revoke.
    pub fn submit(
        &mut self,
        at: usize,
        now: UnixTime,
        real: i64,
        outside: &outside::Outside,
    ) -> Option<End> {
        let (client, submission) = self.submissions.swap_remove(at);
        let body = body_of(client.entry.as_ref().expect("an entry"));
        assert_eq!(submission.bytes, body.len());
        let step = self.gateway.submit(submission, Some(body.into_bytes()), now);
        self.take(client, step, now, real, outside)
    }

    /// A client leaves that waits.
    pub fn leave(&mut self, at: usize) {
        let mut flights: Vec<CalloutId> = self.waiting.keys().copied().collect();
        flights.sort();
        let Some(flight) = flights.get(at % flights.len().max(1)) else { return };
        let clients = self.waiting.get_mut(flight).expect("they wait");
        clients.swap_remove(at % clients.len());
        let is_last = clients.is_empty();
        if is_last {
            self.waiting.remove(flight);
        }
        // On Kong the callout ends with the request that made it.
        if !self.host.resumes_others && is_last {
            self.open.retain(|open| open.flight != *flight);
            self.gateway.abandon(*flight);
        }
    }
}

fn is_alike(one: &Callout, other: &Callout) -> bool {
    one.service.upstream == other.service.upstream && one.path == other.path
}

fn body_of(entry: &Value) -> String {
    serde_json::json!({"entries": [entry]}).to_string()
}
