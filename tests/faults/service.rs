//! All services, at two ports: right or wrong by what they are asked and by
//! the moment.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::contract::{Cell, Group, Protocol, Service, State, Visit};
use crate::fault::{End, Fault, Right};
use crate::outcome::{BEFORE, MEANWHILE};

/// Where redirects lead: to the right answer.
const MOVED: &str = "/moved";

/// Where key sets are, and where they are once their issuers' documents are to be
/// asked for again.
const OLD: &str = "/keys/";
const NEW: &str = "/keys/new/";

pub const AUDIENCE: &str = "shop-api";
pub const SHOP: &str = "https://auth.shop.example";

/// How long a reference token lives whose time is to be over.
pub const SHORT_LIFE: u64 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Everything works but what shall never have been known.
    Before,
    /// Everything fails.
    Meanwhile,
    /// Everything works.
    After,
}

/// The issuer of a group's tokens.
pub fn issuer(group: Group) -> String {
    match group.service {
        service if service.is_of_keys() => owner(group),
        _ => SHOP.to_owned(),
    }
}

/// Whose the keys are that are fetched on behalf of a group: its issuer's, or its
/// transmitter's.
pub fn owner(group: Group) -> String {
    format!("https://{group}.example")
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a token of this user's.
pub fn claims(subject: &str, issuer: &str) -> Value {
    json!({
        "iss": issuer, "aud": AUDIENCE, "sub": subject, "azp": "web", "client_id": "web",
        "scope": "orders", "iat": now(), "exp": now() + 3600, "jti": subject,
    })
}

/// The reference token of a user.
pub fn reference(subject: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(subject)
}

/// The token that a user's login brings.
pub fn issued(subject: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = json!({"sub": subject}).to_string();
    [part(r#"{"alg":"ES256"}"#), part(&claims), part(&"x".repeat(64))].join(".")
}

/// Whose it is; nobody's if it was never issued.
fn user_of(reference: &str) -> String {
    let subject = BASE64_URL_SAFE_NO_PAD.decode(reference).unwrap_or_default();
    String::from_utf8(subject).unwrap_or_default()
}

pub struct Services {
    /// Where they are.
    pub port: u16,
    /// Where they are but while connections are refused.
    pub closing_port: u16,
    /// Where they are only in the end.
    pub late_port: u16,
    shared: Arc<Shared>,
    _open: Open,
    closing: Place,
    late: Place,
}

/// A port that is not always served.
enum Place {
    Open(Open),
    /// Nobody listens, and nobody else can: it is taken before it is given up elsewhere.
    Closed {
        _holds: TcpSocket,
    },
}

impl Place {
    fn closed(port: u16) -> (Self, u16) {
        let socket = bound(port);
        let port = socket.local_addr().unwrap().port();
        (Self::Closed { _holds: socket }, port)
    }
}

/// A port, which others here may have too.
fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    socket
}

struct Shared {
    jwk: Value,
    moment: Mutex<Moment>,
    calls: Mutex<BTreeMap<(Moment, Group), u64>>,
    ends: Mutex<BTreeMap<String, u64>>,
}

/// A port that is served; dropping it closes it and its connections.
struct Open(JoinHandle<()>);

impl Open {
    /// Returns when it is closed.
    async fn close(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Services {
    /// `jwk` is the key that all tokens are signed with.
    pub fn start(jwk: Value) -> Self {
        let shared = Arc::new(Shared {
            jwk,
            moment: Mutex::new(Moment::Before),
            calls: Mutex::default(),
            ends: Mutex::default(),
        });
        let (open, port) = shared.serve(0);
        let (closing, closing_port) = shared.serve(0);
        let (late, late_port) = Place::closed(0);
        let closing = Place::Open(closing);
        Self { port, closing_port, late_port, shared, _open: open, closing, late }
    }

    /// Lets everything fail or work, but for ports that are closed.
    pub fn set_failing(&self, fails: bool) {
        let moment = if fails { Moment::Meanwhile } else { Moment::Before };
        *self.shared.moment.lock().unwrap() = moment;
    }

    /// From now on everything fails.
    pub async fn fail(&mut self) {
        *self.shared.moment.lock().unwrap() = Moment::Meanwhile;
        let (closed, _) = Place::closed(self.closing_port);
        if let Place::Open(open) = std::mem::replace(&mut self.closing, closed) {
            open.close().await;
        }
    }

    /// From now on everything works.
    pub fn recover(&mut self) {
        *self.shared.moment.lock().unwrap() = Moment::After;
        for (place, port) in
            [(&mut self.closing, self.closing_port), (&mut self.late, self.late_port)]
        {
            *place = Place::Open(self.shared.serve(port).0);
        }
    }

    /// How often the service was asked on behalf of the group.
    pub fn calls(&self, moment: Moment, group: Group) -> u64 {
        self.shared.calls.lock().unwrap().get(&(moment, group)).copied().unwrap_or(0)
    }
}

impl Shared {
    fn serve(self: &Arc<Self>, port: u16) -> (Open, u16) {
        let listener = bound(port).listen(1024).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::clone(self);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                while connections.try_join_next().is_some() {}
                connections.spawn(Arc::clone(&shared).converse(stream));
            }
        });
        (Open(task), port)
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut buffer = Vec::new();
        while let Ok(Some(request)) = read(&mut stream, &mut buffer).await {
            match self.answer(&mut stream, &request).await {
                Ok(End::GoesOn) => {}
                Ok(End::Resets) => return drop(stream.set_zero_linger()),
                Ok(End::Closes) | Err(_) => return,
            }
        }
    }

    async fn answer(&self, stream: &mut TcpStream, request: &Request) -> io::Result<End> {
        let (service, name) = request.asks();
        let Some(group) = Group::of(&name) else {
            let body = json!({"active": false});
            let nobody =
                Right { body, main_member: "active", owner_member: "sub", location: String::new() };
            stream.write_all(&nobody.reply()).await?;
            return Ok(End::GoesOn);
        };
        let moment = *self.moment.lock().unwrap();
        let (body, main_member) = self.right(service, &name, group, moment);
        let owner_member = if service == Service::Discovery { "issuer" } else { "sub" };
        let location = format!("{MOVED}{}", request.target);
        let right = Right { body, main_member, owner_member, location };
        let is_due = group.service.kind() == service;
        if service == Service::Keys && has_moved(group, moment) && !request.is_new() {
            return Fault::Status(404).answer(stream, &right).await;
        }
        if is_due {
            *self.calls.lock().unwrap().entry((moment, group)).or_default() += 1;
        }
        let fails = match moment {
            Moment::Before => group.state == State::Cold,
            Moment::Meanwhile => true,
            Moment::After => false,
        };
        if is_due && fails && !request.is_moved() {
            return group.fault.answer(stream, &right).await;
        }
        stream.write_all(&right.reply()).await?;
        Ok(End::GoesOn)
    }

    /// The right answer, and which member of it matters.
    fn right(
        &self,
        service: Service,
        name: &str,
        group: Group,
        moment: Moment,
    ) -> (Value, &'static str) {
        match service.kind() {
            Service::Discovery => {
                let place = if has_moved(group, moment) { NEW } else { OLD };
                let uri = format!("https://keys.example{place}{name}");
                (json!({"issuer": owner(group), "jwks_uri": uri}), "jwks_uri")
            }
            Service::Users => {
                let is_new = group.service == Service::Users && moment != Moment::Before;
                let country = if is_new { MEANWHILE } else { BEFORE };
                (json!({"sub": name, "country": country}), "country")
            }
            Service::Introspection => {
                let mut claims = claims(name, SHOP);
                if group.state == State::Expired && moment != Moment::After {
                    let mut ends = self.ends.lock().unwrap();
                    let end = ends.entry(name.to_owned()).or_insert_with(|| now() + SHORT_LIFE);
                    claims["exp"] = json!(*end);
                }
                claims["active"] = json!(true);
                (claims, "active")
            }
            Service::Login => {
                (json!({"access_token": issued(name), "token_type": "Bearer"}), "access_token")
            }
            Service::Feed => {
                // Whose list is current shares a filter with the others: its fault is not met.
                let faults = match &group.fault {
                    _ if group.state == State::Warm => &Fault::ALL,
                    fault => slice::from_ref(fault),
                };
                let revoked = faults.iter().flat_map(|fault| {
                    let (group, visit) = (Group { fault: *fault, ..group }, Visit::Revoked);
                    Protocol::ALL.map(|protocol| Cell { group, visit, protocol })
                });
                let entries = revoked.map(|cell| json!({"sub": cell.to_string()}));
                let entries: Vec<_> = entries.collect();
                (json!({"cursor": "1", "entries": entries}), "entries")
            }
            Service::Forward => (json!({"accepted": true}), "accepted"),
            _ => (json!({"keys": [self.jwk]}), "keys"),
        }
    }
}

/// Whether a key set has moved. What a document said is believed until its key set
/// cannot be had, so nobody would ask for a document that fails otherwise.
fn has_moved(group: Group, moment: Moment) -> bool {
    group.service.kind() == Service::Discovery && moment != Moment::Before
}

struct Request {
    target: String,
    body: String,
}

impl Request {
    /// Which service is asked, and about what.
    fn asks(&self) -> (Service, String) {
        let path = self.target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix(MOVED).unwrap_or(path);
        let last = path.rsplit('/').next().unwrap_or_default().to_owned();
        match path.split('/').nth(1) {
            Some("keys") => (Service::Keys, last),
            Some("discovery") => (Service::Discovery, last),
            Some("users") => (Service::Users, last),
            Some("login") => (Service::Login, last),
            Some("feed") => (Service::Feed, last),
            Some("forward") => {
                let told: Value = serde_json::from_str(&self.body).expect("JSON");
                let subject = told["entries"][0]["sub"].as_str().expect("a subject");
                (Service::Forward, subject.to_owned())
            }
            Some("introspect") => {
                let token = self.body.split('&').find_map(|pair| pair.strip_prefix("token="));
                (Service::Introspection, user_of(token.expect("a token")))
            }
            _ => panic!("nobody serves {:?}", self.target),
        }
    }

    /// Whether keys are asked for where they are now.
    fn is_new(&self) -> bool {
        self.target.contains(NEW)
    }

    /// Whether a redirect was followed, which most must not be.
    fn is_moved(&self) -> bool {
        self.target.starts_with(MOVED)
    }
}

/// The next request; `None` at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// A whole request and its length.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = request.parse(bytes).expect("Envoy speaks HTTP") else {
        return None;
    };
    let length =
        request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(0, |field| str::from_utf8(field.value).unwrap().parse().unwrap());
    let body = bytes.get(end..end + length)?;
    let body = String::from_utf8_lossy(body).into_owned();
    Some((Request { target: request.path?.to_owned(), body }, end + length))
}
