//! A second door, in two hundred lines: the core itself on the fake host, without
//! proxy-wasm. Shows that a door has nothing to decide.
//!
//! It acts on the host's state directly, where the filter makes calls. What it can
//! do is what Envoy can.

use std::collections::HashMap;

use gatepass::access_log::AccessLogFields;
use gatepass::callout::{CalloutFailure, CalloutReply};
use gatepass::config;
use gatepass::gateway::{Action, CalloutId, Dispatch, Gateway, RequestId};
use gatepass::host::{HostCapabilities, RequestInfo, parse_address, parse_connection};
use gatepass::http::{Edit, Fields, LocalReply, RequestHead};
use gatepass::metrics::{Kind, Series};
use gatepass::pipeline::SharedData;
use gatepass::shared_data::SharedStore;
use gatepass::time::UnixTime;

use super::abi::{Pairs, Trap};
use super::exchange::{Call, Response};
use super::fake::{FakeHost, LogLine, Pending};
use super::headers::{Headers, Listing};
use super::imports::callouts::envoy_headers;
use super::vm::{Export, SharedHost, Vm};

const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

pub struct InProcess {
    host: SharedHost,
    /// By root context; those whose configuration was refused are not there.
    plugins: HashMap<u32, Plugin>,
}

struct Plugin {
    gateway: Gateway,
    series: Vec<Series>,
    calls: HashMap<u32, CalloutId>,
}

impl InProcess {
    pub fn boot(host: SharedHost) -> Self {
        Self { host, plugins: HashMap::new() }
    }

    fn fake<T>(&self, call: impl FnOnce(&mut FakeHost) -> T) -> T {
        call(&mut self.host.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.fake(|fake| (fake.now_ns / 1_000_000) as i64))
    }

    fn configure(&mut self, root: u32) -> bool {
        let (text, environment) =
            self.fake(|fake| (fake.plugins[&root].configuration.clone(), fake.environment.clone()));
        let variable = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        };
        let checked = config::load(&text, &variable, None).and_then(|settings| {
            let mut problems = config::check_host(&settings, HostCapabilities::ENVOY);
            if settings.shared_data == SharedData::Never {
                problems.extend(config::check_unshared(&settings).err());
            }
            if problems.is_empty() { Ok(settings) } else { Err(config::Problems(problems)) }
        });
        let mut settings = match checked {
            Ok(settings) => settings,
            Err(problems) => {
                for text in problems.lines(usize::MAX) {
                    self.fake(|fake| fake.logs.push(LogLine { level: 4, text }));
                }
                return false;
            }
        };
        settings.access_log_properties.get_or_insert(true);
        let shares = settings.shared_data != SharedData::Never;
        let seed = self.fake(|fake| fake.random_bytes(16)).try_into().unwrap();
        let mut gateway = Gateway::new(settings, HostCapabilities::ENVOY, seed)
            .with_request_info(Box::new(Info(self.host.clone())));
        if shares {
            gateway.share(Box::new(Store(self.host.clone())));
        }
        let series = gateway.metrics();
        self.fake(|fake| {
            let plugin = fake.plugins.get_mut(&root).unwrap();
            plugin.tick_period_ms = Some(100);
            plugin.next_tick_ns = fake.now_ns + 100_000_000;
            for series in &series {
                fake.metrics.values.entry(flattened(series)).or_default();
            }
        });
        self.plugins.insert(root, Plugin { gateway, series, calls: HashMap::new() });
        self.feed_metrics(root);
        true
    }

    fn plugin(&mut self, root: u32) -> &mut Plugin {
        self.plugins.get_mut(&root).expect("a plugin")
    }

    fn gateway(&mut self, root: u32) -> &mut Gateway {
        &mut self.plugin(root).gateway
    }

    fn feed_metrics(&mut self, root: u32) {
        let Plugin { gateway, series, .. } = self.plugin(root);
        let readings = gateway.take_metrics();
        let readings: Vec<_> = readings
            .into_iter()
            .map(|(position, amount)| (series[position].kind, flattened(&series[position]), amount))
            .collect();
        self.fake(|fake| {
            for (kind, name, amount) in readings {
                let value = fake.metrics.values.entry(name).or_default();
                *value = if kind == Kind::Gauge { amount } else { *value + amount };
            }
        });
        self.write_log(root);
    }

    fn write_log(&mut self, root: u32) {
        for event in self.gateway(root).take_log() {
            let level = 5 - event.level() as u32;
            self.fake(|fake| fake.logs.push(LogLine { level, text: event.to_string() }));
        }
    }

    /// Carries out what the gateway wants; what becomes of `current`.
    fn run(&mut self, root: u32, current: Option<u32>) -> u32 {
        let mut becomes = PAUSE;
        while let Some(action) = self.gateway(root).poll() {
            match action {
                Action::Send(dispatch) => self.send(root, None, dispatch),
                Action::Suspend { request, dispatch } => {
                    if let Some(dispatch) = dispatch {
                        self.send(root, Some(request), dispatch);
                    }
                }
                Action::ReadBody { request, sanitized, .. } => {
                    self.continue_request(
                        request,
                        sanitized.edits(|_| false),
                        current,
                        &mut becomes,
                    );
                }
                Action::Forward { request, edits, access_log } => {
                    self.publish(request, &access_log);
                    self.continue_request(request, edits.edits(), current, &mut becomes);
                }
                Action::Reply { request, reply, access_log, .. } => {
                    self.publish(request, &access_log);
                    self.reply(request, reply);
                }
            }
        }
        self.write_log(root);
        becomes
    }

    fn continue_request<'a>(
        &self,
        request: RequestId,
        edits: impl Iterator<Item = Edit<'a>>,
        current: Option<u32>,
        becomes: &mut u32,
    ) {
        self.fake(|fake| {
            let edits: Vec<_> = edits.collect();
            for edit in &edits {
                if let Edit::Set(name, value) = edit {
                    fake.examine(name, value);
                }
            }
            let stream = fake.streams.get_mut(&context(request)).expect("a request");
            for edit in edits {
                match edit {
                    Edit::Remove(name) => stream.headers.remove(name),
                    Edit::Set(name, value) => stream.headers.replace(name, value),
                    Edit::Path(path) => stream.headers.replace(":path", path),
                };
            }
            match Some(context(request)) == current {
                true => *becomes = CONTINUE,
                false => stream.resumed = true,
            }
        });
    }

    fn publish(&self, request: RequestId, fields: &AccessLogFields) {
        self.fake(|fake| {
            let stream = fake.streams.get_mut(&context(request)).expect("a request");
            for (name, value) in fields.entries() {
                stream.properties.insert(name.to_owned(), value.as_bytes().to_vec());
            }
        });
    }

    fn reply(&self, request: RequestId, reply: LocalReply) {
        self.fake(|fake| {
            let headers = reply.headers.into_iter();
            let headers: Pairs =
                headers.map(|(name, value)| (name.into_owned(), value.into_bytes())).collect();
            headers.iter().for_each(|(name, value)| fake.examine(name, value));
            let headers = envoy_headers(headers, &reply.body);
            let response =
                Response { status: reply.status, headers, body: reply.body, grpc_status: None };
            let stream = fake.streams.get_mut(&context(request)).expect("a request");
            let second = stream.local_response.replace(response).is_some();
            if second || !stream.undecided() {
                fake.violate("a second answer, or one after the request went on");
            }
        });
    }

    fn send(&mut self, root: u32, sender: Option<RequestId>, dispatch: Dispatch) {
        let Dispatch { id, callout } = dispatch;
        let head = callout.head().into_iter();
        let call = Call {
            upstream: callout.service.upstream.clone(),
            headers: head
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
                .collect(),
            body: callout.body().to_vec(),
            timeout_ms: callout.service.timeout.as_millis() as u32,
        };
        let sent = self.fake(|fake| {
            call.headers.iter().for_each(|(name, value)| fake.examine(name, value));
            fake.keep_secrets_of(&call.headers);
            fake.clusters.contains(&call.upstream).then(|| {
                let token = fake.next_token;
                fake.next_token += 1;
                let deadline_ns = fake.now_ns + u64::from(call.timeout_ms) * 1_000_000;
                let sender = sender.map_or(root, context);
                let pending = Pending { token, owner: root, sender, call, deadline_ns };
                fake.pending.insert(token, pending);
                token
            })
        });
        match sent {
            Some(token) => drop(self.plugin(root).calls.insert(token, id)),
            None => {
                let now = self.now();
                let reply = CalloutReply::Failed(CalloutFailure::NotSent);
                self.gateway(root).reply(id, &reply, now);
            }
        }
    }

    fn answered(&mut self, root: u32, token: u32) {
        let Some(id) = self.plugin(root).calls.remove(&token) else { return };
        let (headers, body) = self.fake(|fake| {
            let reply = fake.reply.as_ref().expect("a reply");
            (reply.headers.as_ref().map(pairs), reply.body.clone())
        });
        let max_bytes = self.gateway(root).max_reply_bytes();
        let reply = match (headers, body) {
            (Some(headers), Some(body)) => {
                let status = headers.iter().find(|(name, _)| name == ":status");
                let status = status.and_then(|(_, it)| std::str::from_utf8(it).ok()?.parse().ok());
                CalloutReply::whole(status, fields(&headers), body, max_bytes)
            }
            (None, _) => CalloutReply::Failed(CalloutFailure::NoReply),
            (Some(_), None) => CalloutReply::Failed(CalloutFailure::Broken),
        };
        let now = self.now();
        self.gateway(root).reply(id, &reply, now);
    }

    fn body(&mut self, root: u32, at: u32, is_last: bool) -> u32 {
        let request = RequestId(at.into());
        let now = self.now();
        let (body, is_kong) =
            self.fake(|fake| (fake.streams[&at].body_read.clone(), fake.is_kong()));
        let gateway = self.gateway(root);
        match gateway.body_wanted(request) {
            Some(wanted) if is_last || is_kong && body.len() >= wanted => {
                gateway.body(request, Some(body), now)
            }
            Some(wanted) if body.len() >= wanted => {
                gateway.buffer_body(request, Some(body));
                return PAUSE;
            }
            Some(_) => return PAUSE,
            None => return if gateway.passes(request) { CONTINUE } else { PAUSE },
        }
        self.run(root, Some(at))
    }

    fn trailers(&mut self, root: u32, at: u32) -> u32 {
        let request = RequestId(at.into());
        if let Some(body) = self.gateway(root).take_buffered_body(request) {
            let now = self.now();
            self.gateway(root).body(request, Some(body), now);
            return self.run(root, Some(at));
        }
        let trailers = self
            .fake(|fake| fields(&pairs(fake.streams[&at].trailers.as_ref().expect("trailers"))));
        let Some(names) = self.gateway(root).trailers(request, &trailers) else {
            return self.run(root, Some(at));
        };
        self.fake(|fake| {
            let trailers = fake.streams.get_mut(&at).and_then(|stream| stream.trailers.as_mut());
            let trailers = trailers.expect("trailers");
            for name in &names {
                trailers.remove(name);
            }
        });
        if self.gateway(root).passes(request) { CONTINUE } else { PAUSE }
    }
}

impl Vm for InProcess {
    fn call(&mut self, export: Export, args: &[u32]) -> Result<u32, Trap> {
        let at = args.first().copied().unwrap_or_default();
        if export == Export::InProgress {
            return Ok(self.plugins.values().map(|plugin| in_progress(&plugin.gateway)).sum());
        }
        if export == Export::Configure {
            return Ok(self.configure(at).into());
        }
        let root = self.fake(|fake| fake.streams.get(&at).map_or(at, |stream| stream.root));
        if !self.plugins.contains_key(&root) {
            let is_asked = matches!(export, Export::VmStart | Export::Done);
            return Ok(is_asked.into());
        }
        let (request, now) = (RequestId(at.into()), self.now());
        Ok(match export {
            Export::RequestHeaders => {
                let head = self.fake(|fake| fields(&pairs(&fake.streams[&at].headers)));
                let head = RequestHead::from(head).with_body(args[2] != 1);
                self.gateway(root).begin(request, head, now);
                self.run(root, Some(at))
            }
            Export::RequestBody => self.body(root, at, args[2] == 1),
            Export::RequestTrailers => self.trailers(root, at),
            Export::HttpCallResponse => {
                self.answered(root, args[1]);
                self.run(root, None)
            }
            Export::Tick => {
                self.gateway(root).tick(now);
                self.run(root, None);
                self.feed_metrics(root);
                0
            }
            Export::Done if root == at => {
                self.gateway(root).retire();
                self.feed_metrics(root);
                1
            }
            Export::Delete if root == at => {
                self.plugins.remove(&root);
                0
            }
            Export::Delete => {
                self.gateway(root).gone(request);
                0
            }
            Export::VmStart | Export::Done => 1,
            _ => 0,
        })
    }
}

fn in_progress(gateway: &Gateway) -> u32 {
    let gatepass::gateway::InProgress { waiting, awaited, bodies, passing, ending_with_token } =
        gateway.in_progress();
    (waiting + awaited + bodies + passing + ending_with_token) as u32
}

fn context(request: RequestId) -> u32 {
    request.0 as u32
}

fn pairs(headers: &Headers) -> Pairs {
    match headers.listing() {
        Listing::Whole(pairs) | Listing::Malformed(pairs) => pairs,
    }
}

fn fields(pairs: &Pairs) -> Fields {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

/// As the scenarios name metrics.
fn flattened(series: &Series) -> String {
    let labels = series.labels.iter().map(|(label, value)| format!(".{label}.{value}"));
    series.name.to_owned() + &labels.collect::<String>()
}

struct Info(SharedHost);

impl RequestInfo for Info {
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        None
    }

    fn client_address(&self, request: RequestId) -> Option<std::net::IpAddr> {
        let fake = self.0.lock().unwrap();
        let stream = fake.streams.get(&context(request))?;
        let name = "source.address";
        parse_address(stream.properties.get(name).or_else(|| fake.properties.get(name))?)
    }

    fn peer_address(&self, request: RequestId) -> Option<std::net::IpAddr> {
        let fake = self.0.lock().unwrap();
        let stream = fake.streams.get(&context(request))?;
        let name = "source.address";
        parse_connection(stream.properties.get(name).or_else(|| fake.properties.get(name))?)
    }

    fn client_certificate(&self, request: RequestId) -> Option<[u8; 32]> {
        let fake = self.0.lock().unwrap();
        let stream = fake.streams.get(&context(request))?;
        let name = "connection.sha256_peer_certificate_digest";
        let digest = stream.properties.get(name).or_else(|| fake.properties.get(name))?;
        gatepass::binding::of_hex(std::str::from_utf8(digest).ok()?)
    }
}

struct Store(SharedHost);

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.lock().unwrap().shared.read(key.as_bytes())
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.0.lock().unwrap().shared.write(key.as_bytes(), value, version)
    }
}

impl std::fmt::Debug for Info {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Info")
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}
