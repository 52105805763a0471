//! One gateway as seen through the C interface: requests and callouts are numbers, and
//! actions come one at a time.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

use gatepass::binding::of_pem;
use gatepass::callout::CalloutReply;
use gatepass::config::{self, Problem, Problems};
use gatepass::event::Event;
use gatepass::gateway::{Action, CalloutId, Dispatch, Gateway, RequestId};
use gatepass::host::{HostCapabilities, HostFailure, RequestInfo, parse_address};
use gatepass::http::RequestHead;
use gatepass::metrics::{self, Sample, Series};
use gatepass::pipeline::{AnnouncementOutcome, SharedData};
use gatepass::time::UnixTime;
use gatepass_native::Stopwatch;
use log::Level;

use crate::check;
use crate::encode::{Encoder, RawAction};
use crate::frame::Begun;
use crate::store::Store;

/// What a gateway is built from, and rebuilt from after a panic.
#[derive(Debug)]
pub struct Source {
    /// The configuration.
    pub configuration: Vec<u8>,
    /// The directory of the workers' shared data.
    pub directory: Option<PathBuf>,
    /// What the caller can do.
    pub host: HostCapabilities,
}

/// A gateway and its numbers.
#[derive(Debug)]
pub struct Door {
    source: Source,
    gateway: Gateway,
    info: Rc<Infos>,
    encoder: Encoder,
    /// Requests that are held or whose body is being read.
    held: BTreeSet<u64>,
    callouts: HashMap<u64, CalloutId>,
    last_callout: u64,
    /// Requests ended by a panic that still have to be answered.
    failed: VecDeque<u64>,
    log: VecDeque<(Level, String)>,
    panics: u32,
    /// The series, and the samples since the last call.
    series: Vec<Series>,
    samples: VecDeque<Sample>,
    /// Whether the last call returned a sample: samples recorded meanwhile are for the
    /// next round.
    gave_samples: bool,
    new_panics: u32,
    /// The time of the last event.
    now: UnixTime,
    /// For tests: the request on which to panic; 0 for what another node announced.
    #[cfg(test)]
    pub panics_at: Option<u64>,
}

impl Door {
    /// Opens a gateway; fails with the problems of its configuration.
    pub fn open(source: Source, now: UnixTime) -> Result<Self, Problems> {
        let info = Rc::new(Infos::default());
        let (gateway, gap) = gateway(&source, &info, now)?;
        Ok(Self {
            source,
            gateway,
            info,
            encoder: Encoder::default(),
            held: BTreeSet::new(),
            callouts: HashMap::new(),
            last_callout: 0,
            failed: VecDeque::new(),
            log: gap.iter().map(line).collect(),
            panics: 0,
            series: Vec::new(),
            samples: VecDeque::new(),
            gave_samples: false,
            new_panics: 0,
            now,
            #[cfg(test)]
            panics_at: None,
        })
    }

    /// A request begins; `None` if the caller's bytes are not a valid head.
    pub fn begin(&mut self, request: u64, begun: Option<Begun>, now: UnixTime) {
        self.now = now;
        #[cfg(test)]
        assert_ne!(self.panics_at, Some(request), "as the test asked for");
        let id = RequestId(request);
        let Some(Begun { address, peer, certificate, id: name, fields }) = begun else {
            self.gateway.fail(id, HostFailure::HeadersUnread);
            return;
        };
        *self.info.current.borrow_mut() = (request, Info { address, peer, certificate, name });
        self.measured(|gateway| gateway.begin(id, RequestHead::from(fields), now));
    }

    /// The body of a request arrived.
    pub fn body(&mut self, request: u64, body: Option<Vec<u8>>, now: UnixTime) {
        self.now = now;
        self.gateway.body(RequestId(request), body, now);
    }

    /// A request ended by itself and is not answered any more.
    pub fn gone(&mut self, request: u64) {
        self.failed.retain(|failed| *failed != request);
        self.end(request);
    }

    /// A callout is complete.
    pub fn reply(&mut self, callout: u64, reply: &CalloutReply, now: UnixTime) {
        self.now = now;
        if let Some(callout) = self.callouts.remove(&callout) {
            self.measured(|gateway| gateway.reply(callout, reply, now));
        }
    }

    /// Lets the gateway do something for a request, and measures it now and then.
    fn measured(&mut self, work: impl FnOnce(&mut Gateway)) {
        let watch = self.gateway.begin_measurement().then(Stopwatch::start);
        work(&mut self.gateway);
        if let Some(watch) = watch {
            self.gateway.end_measurement(watch.micros());
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: UnixTime) {
        self.now = now;
        self.gateway.tick(now);
    }

    /// The size limit of replies.
    pub const fn max_reply_bytes(&self) -> usize {
        self.gateway.max_reply_bytes()
    }

    /// The configuration is no longer in use.
    pub fn retire(&mut self) {
        self.gateway.retire();
    }

    /// The number of requests and callouts in progress.
    pub fn in_progress(&self) -> usize {
        self.held.len().saturating_add(self.callouts.len()).saturating_add(self.failed.len())
    }

    /// How often the gateway was rebuilt after a panic.
    pub const fn panics(&self) -> u32 {
        self.panics
    }

    /// A line of the log.
    pub fn take_line(&mut self) -> Option<(Level, String)> {
        self.log.pop_front()
    }

    /// The revocations made by requests, for other nodes.
    pub fn take_announcement(&mut self) -> Option<String> {
        self.gateway.take_announcement()
    }

    /// Applies what another node announced.
    pub fn apply_announcement(&mut self, text: &[u8], now: UnixTime) -> AnnouncementOutcome {
        self.now = now;
        #[cfg(test)]
        assert_ne!(self.panics_at, Some(0), "as the test asked for");
        let outcome = self.gateway.apply_announcement(text, now);
        self.log.extend(self.gateway.take_log().iter().map(line));
        outcome
    }

    /// A metric sample; `None` when all have been taken.
    pub fn take_sample(&mut self) -> Option<(&Series, u64)> {
        if self.samples.is_empty() && !self.gave_samples {
            self.samples.extend(self.gateway.take_metrics());
            if self.series.is_empty() {
                self.series = self.series();
            }
            let panics = u64::from(std::mem::take(&mut self.new_panics));
            if panics > 0 {
                self.samples.push_back((self.series.len().saturating_sub(1), panics));
            }
        }
        let next = self.samples.pop_front();
        self.gave_samples = next.is_some();
        let (position, amount) = next?;
        Some((self.series.get(position)?, amount))
    }

    /// The gateway's series, and the one for its panics.
    fn series(&self) -> Vec<Series> {
        let kind = metrics::Kind::Counter;
        let panics = Series { kind, name: "gatepass_panics_total", labels: Vec::new() };
        self.gateway.metrics().into_iter().chain([panics]).collect()
    }

    /// The next action.
    pub fn next(&mut self) -> Option<&RawAction> {
        if let Some(request) = self.failed.pop_front() {
            return Some(self.encoder.failure(request));
        }
        let action = self.gateway.poll();
        let events = self.gateway.take_log();
        self.log.extend(events.iter().map(line));
        let action = action?;
        let callout = match &action {
            Action::Send(dispatch) => self.number(dispatch),
            Action::Suspend { request, dispatch } => {
                self.info.keep(request.0);
                self.held.insert(request.0);
                dispatch.as_ref().map_or(0, |dispatch| self.number(dispatch))
            }
            Action::ReadBody { request, .. } => {
                self.info.keep(request.0);
                self.held.insert(request.0);
                0
            }
            // nginx reports nothing more about a request that passes or is answered.
            Action::Forward { request, .. } | Action::Reply { request, .. } => {
                self.end(request.0);
                0
            }
        };
        let has_log = !self.log.is_empty();
        let is_all = !has_log && self.failed.is_empty() && !self.gateway.has_actions();
        let encoded = self.encoder.encode(&action, callout);
        (encoded.logged, encoded.is_all) = (u32::from(has_log), u32::from(is_all));
        Some(encoded)
    }

    /// Rebuilds the gateway after a panic. All held requests are answered with 500, and
    /// so is `request`.
    pub fn recover(&mut self, request: Option<u64>) {
        self.panics = self.panics.saturating_add(1);
        self.new_panics = self.new_panics.saturating_add(1);
        self.samples.clear();
        self.series.clear();
        let held = std::mem::take(&mut self.held);
        let others = held.into_iter().filter(|held| Some(*held) != request);
        for failed in others.chain(request) {
            self.failed.push_back(failed);
            self.log.push_back(line(&Event::HostError(HostFailure::Panicked)));
        }
        self.callouts.clear();
        self.encoder = Encoder::default();
        self.info.clear();
        match gateway(&self.source, &self.info, self.now) {
            Ok((gateway, _)) => self.gateway = gateway,
            // The failed gateway stays, and its next panic is caught as well.
            Err(problems) => self.log.push_back((Level::Error, problems.to_string())),
        }
        self.log.push_back((Level::Error, "the library failed and was restarted".to_owned()));
    }

    fn end(&mut self, request: u64) {
        self.gateway.gone(RequestId(request));
        if self.held.remove(&request) {
            self.info.forget(request);
        }
    }

    fn number(&mut self, dispatch: &Dispatch) -> u64 {
        self.last_callout = self.last_callout.saturating_add(1);
        self.callouts.insert(self.last_callout, dispatch.id);
        self.last_callout
    }
}

/// A log line for an event.
fn line(event: &Event) -> (Level, String) {
    (event.level(), event.to_string())
}

/// Makes a gateway, and the log events about its keys.
fn gateway(
    source: &Source,
    info: &Rc<Infos>,
    now: UnixTime,
) -> Result<(Gateway, Option<Event>), Problems> {
    let mut settings = check::settings(&source.configuration, source.host)?;
    let gap = settings.minter.keys.gap(now).map(Event::NobodySigns);
    // Fields for plugins and access logs cost next to nothing here.
    settings.access_log_properties.get_or_insert(true);
    let seed = gatepass_native::seed().map_err(|error| {
        let accepted = "a machine with a source of randomness";
        Problem::new("$", error.to_string(), accepted)
    })?;
    let store = store(source, settings.shared_data)?;
    if store.is_none() {
        config::check_unshared(&settings)?;
    }
    let mut gateway = Gateway::new(settings, source.host, seed)
        .with_request_info(Box::new(SharedInfos(Rc::clone(info))));
    if let Some(store) = store {
        gateway.share(Box::new(store));
    }
    gateway.announce_revocations();
    Ok((gateway, gap))
}

/// The store shared by the workers, if they share data.
fn store(source: &Source, wanted: SharedData) -> Result<Option<Store>, Problem> {
    let refused = |found: String| {
        let accepted = "a directory for shared data; or shared_data: never";
        Problem::new("$.shared_data", found, accepted)
    };
    match (wanted, &source.directory) {
        (SharedData::Never, _) | (SharedData::Auto, None) => Ok(None),
        (SharedData::Always, None) => Err(refused("always, and no directory".to_owned())),
        (_, Some(directory)) => Store::open(directory).map(Some).map_err(refused),
    }
}

/// What nginx knows about requests.
#[derive(Debug, Default)]
struct Infos {
    /// The request that began last.
    current: RefCell<(u64, Info)>,
    /// Requests that are held.
    kept: RefCell<HashMap<u64, Info>>,
}

#[derive(Clone, Debug, Default)]
struct Info {
    address: Vec<u8>,
    peer: Vec<u8>,
    certificate: Vec<u8>,
    name: Option<Vec<u8>>,
}

impl Infos {
    fn keep(&self, request: u64) {
        let current = self.current.borrow();
        if current.0 == request {
            self.kept.borrow_mut().insert(request, current.1.clone());
        }
    }

    fn forget(&self, request: u64) {
        self.kept.borrow_mut().remove(&request);
    }

    fn clear(&self) {
        self.kept.borrow_mut().clear();
    }

    fn of<T>(&self, request: RequestId, read: impl Fn(&Info) -> Option<T>) -> Option<T> {
        let current = self.current.borrow();
        if current.0 == request.0 {
            return read(&current.1);
        }
        self.kept.borrow().get(&request.0).and_then(read)
    }
}

/// Gives the gateway access to it.
#[derive(Debug)]
struct SharedInfos(Rc<Infos>);

impl RequestInfo for SharedInfos {
    fn request_id(&self, request: RequestId) -> Option<Vec<u8>> {
        self.0.of(request, |info| info.name.clone())
    }

    fn client_address(&self, request: RequestId) -> Option<IpAddr> {
        self.0.of(request, |info| parse_address(&info.address))
    }

    fn peer_address(&self, request: RequestId) -> Option<IpAddr> {
        self.0.of(request, |info| parse_address(&info.peer))
    }

    fn client_certificate(&self, request: RequestId) -> Option<[u8; 32]> {
        self.0.of(request, |info| of_pem(std::str::from_utf8(&info.certificate).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_request_is_kept_while_it_is_held() {
        let infos = Infos::default();
        let begin = |request: u64| {
            let name = Some(request.to_string().into_bytes());
            *infos.current.borrow_mut() = (request, Info { name, ..Info::default() });
        };
        let known = || {
            let name = |request| infos.of(RequestId(request), |info| info.name.clone());
            [1, 2, 3]
                .map(|request| name(request).is_some_and(|it| it == request.to_string().as_bytes()))
        };
        begin(1);
        assert_eq!(known(), [true, false, false], "the one that began");
        infos.keep(1);
        infos.keep(3);
        begin(2);
        assert_eq!(known(), [true, true, false], "one that is held, and the one that began");
        infos.keep(2);
        infos.forget(1);
        begin(4);
        assert_eq!(known(), [false, true, false], "one that is over");
        infos.clear();
        assert_eq!(known(), [false; 3]);
    }
}
