//! One configuration of the filter: the state its streams share, and the work that the
//! main thread does for them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gatepass::callout::{CalloutFailure, CalloutReply};
use gatepass::gateway::{Action, CalloutId, Gateway, TICK};
use gatepass::time::{Period, Span, UnixTime};

use crate::abi::Config;
use crate::in_flight::CalloutsInFlight;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::outgoing::{Outgoing, OutgoingRequest, Reply};
use crate::secrets::Secrets;
use crate::shared::Shared;
use crate::snapshot::{ConfigSnapshot, ReplacedSnapshots, log_problems, now, write_log};
use crate::stream::Stream;
use crate::timer::Timer;

/// Less than a tick: the timer is not exact.
const TICK_PAUSE: Span = Span::from_millis(50);

/// A filter's configuration, as Envoy holds it.
pub(crate) struct Configuration {
    // Dropped first: the timer must not call once the rest is gone.
    _timer: Timer,
    shared: Arc<Shared>,
}

impl Configuration {
    /// Reads a configuration; logs what is wrong with it.
    pub(crate) fn new(config: &Config<'_>, text: &[u8]) -> Option<Self> {
        let secrets = match Secrets::subscribe(config, text) {
            Ok(secrets) => secrets,
            Err(problems) => {
                log_problems(&problems);
                return None;
            }
        };
        let text = match &secrets {
            None => Some(text.to_vec()),
            // Of wrong ones each request is told, until others arrive.
            Some(secrets) => secrets.changed(config).and_then(Result::ok),
        };
        let snapshot = match text {
            Some(text) => Some(ConfigSnapshot::new(&text)?),
            None => None,
        };
        let shared = Arc::new(Shared::new(snapshot, config.waker()));
        let main = Rc::new(Main::new(config, &shared.in_flight, secrets));
        if let Some(snapshot) = shared.snapshot() {
            main.host(config, &snapshot)?;
        }
        let timer = Self::timer(&shared)?;
        MAINS.with_borrow_mut(|mains| mains.insert(shared.id(), (Arc::clone(&shared), main)));
        Some(Self { _timer: timer, shared })
    }

    /// Wakes the main thread at each tick; more often until all secrets have arrived, so
    /// that requests are denied no longer than necessary.
    fn timer(shared: &Arc<Shared>) -> Option<Timer> {
        const EAGERNESS: u32 = 20;
        let tick = Duration::from_millis(TICK.as_millis().unsigned_abs());
        let eager = tick.checked_div(EAGERNESS).unwrap_or(tick);
        let called = Arc::clone(shared);
        let started = Timer::start(move || {
            called.call_main();
            if called.snapshot().is_some() { tick } else { eager }
        });
        match started {
            Ok(timer) => Some(timer),
            Err(error) => {
                log::error!("no thread for a timer: {error}");
                None
            }
        }
    }

    /// Starts a stream of this configuration, on the calling thread.
    pub(crate) fn stream(&self) -> Stream {
        Stream::new(&self.shared)
    }

    /// The callouts in flight.
    pub(crate) fn in_flight(&self) -> Arc<CalloutsInFlight> {
        Arc::clone(&self.shared.in_flight)
    }

    /// The main thread was woken.
    pub(crate) fn scheduled(&self, config: &Config<'_>) {
        self.shared.answer_call();
        if let Some(main) = Main::of(&self.shared) {
            main.look_after(config, &self.shared);
        }
    }

    /// A callout is complete; `None` if it got no reply.
    pub(crate) fn callout_done(&self, config: &Config<'_>, callout: u64, reply: Option<Reply<'_>>) {
        if let Some(main) = Main::of(&self.shared) {
            main.callout_done(config, callout, reply.as_ref());
        }
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        self.shared.end();
        if let Some(snapshot) = self.shared.snapshot() {
            snapshot.end();
        }
        // On any other thread there is nothing to clear here: the main thread clears up
        // when it is next woken.
        Main::clear();
    }
}

thread_local! {
    /// The main thread's state of each configuration.
    static MAINS: RefCell<HashMap<u64, Place>> = RefCell::default();
}

/// One configuration's place on the main thread.
type Place = (Arc<Shared>, Rc<Main>);

/// The main thread's state of a configuration.
struct Main {
    gateways: RefCell<HashMap<u64, (Arc<ConfigSnapshot>, Gateway)>>,
    /// Callouts in flight, by Envoy's number.
    callouts: RefCell<HashMap<u64, Callout>>,
    /// Callouts whose reply can serve every identical request, by that request.
    joinable: RefCell<HashMap<Arc<OutgoingRequest>, u64>>,
    in_flight: Arc<CalloutsInFlight>,
    metrics: RefCell<Metrics>,
    secrets: Option<Secrets>,
    replaced: ReplacedSnapshots,
    /// After the periodic work (ten times a second) was done.
    tick_pause: Cell<Option<Period>>,
}

/// A callout in flight.
struct Callout {
    request: Arc<OutgoingRequest>,
    /// Where the reply must go.
    origins: Vec<(CalloutId, Origin)>,
}

/// The origin of a callout.
enum Origin {
    Worker(Arc<Mailbox>),
    /// The main thread's gateway of this snapshot.
    Main(u64),
}

impl Main {
    fn new(
        config: &Config<'_>,
        in_flight: &Arc<CalloutsInFlight>,
        secrets: Option<Secrets>,
    ) -> Self {
        Self {
            gateways: RefCell::default(),
            callouts: RefCell::default(),
            joinable: RefCell::default(),
            in_flight: Arc::clone(in_flight),
            metrics: RefCell::new(Metrics::define(config)),
            secrets,
            replaced: ReplacedSnapshots::default(),
            tick_pause: Cell::new(None),
        }
    }

    fn of(shared: &Shared) -> Option<Rc<Self>> {
        Self::clear();
        MAINS.with_borrow(|mains| mains.get(&shared.id()).map(|(_, main)| Rc::clone(main)))
    }

    /// Drops the state of destroyed configurations.
    fn clear() {
        let over = MAINS.try_with(|mains| {
            let mut mains = mains.borrow_mut();
            let ids: Vec<u64> = mains
                .iter()
                .filter(|(_, (shared, _))| shared.is_over())
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| mains.remove(id)).collect::<Vec<_>>()
        });
        drop(over);
    }

    /// Makes the main thread's gateway for a snapshot. It fetches keys and feeds for all
    /// other gateways of that snapshot.
    fn host(&self, config: &Config<'_>, snapshot: &Arc<ConfigSnapshot>) -> Option<()> {
        if self.gateways.borrow().contains_key(&snapshot.id()) {
            return Some(());
        }
        let mut gateway =
            snapshot.gateway(None).map_err(|problems| log_problems(&problems)).ok()?;
        self.metrics.borrow_mut().add(config, snapshot.id(), &gateway.metrics());
        self.metrics.borrow().feed(config, snapshot.id(), &gateway.take_metrics());
        gateway.take_log().iter().for_each(write_log);
        self.gateways.borrow_mut().insert(snapshot.id(), (Arc::clone(snapshot), gateway));
        Some(())
    }

    /// Sends a callout, unless the configuration is being destroyed.
    fn send(&self, config: &Config<'_>, outgoing: &Outgoing) -> Option<u64> {
        let number = self.in_flight.is_open().then(|| outgoing.send(config)).flatten()?;
        self.in_flight.sent(Duration::from_millis(outgoing.request.timeout_milliseconds));
        Some(number)
    }

    /// Sends a worker's callout, or joins an identical one in flight.
    fn send_for(&self, config: &Config<'_>, mailbox: Arc<Mailbox>, outgoing: Outgoing) {
        let joined = |request| self.joinable.borrow().get(request).copied();
        let in_flight = outgoing.serves_all.then(|| joined(&outgoing.request));
        if let Some(number) = in_flight.flatten()
            && let Some(callout) = self.callouts.borrow_mut().get_mut(&number)
        {
            callout.origins.push((outgoing.id, Origin::Worker(mailbox)));
            return;
        }
        let sent = self.send(config, &outgoing);
        let Outgoing { id, request, serves_all, .. } = outgoing;
        let Some(number) = sent else {
            return mailbox.deliver(id, NOT_SENT, now());
        };
        if serves_all {
            self.joinable.borrow_mut().insert(Arc::clone(&request), number);
        }
        let origins = vec![(id, Origin::Worker(mailbox))];
        self.callouts.borrow_mut().insert(number, Callout { request, origins });
    }

    /// Sends queued callouts, does periodic work, and forwards metrics.
    fn look_after(&self, config: &Config<'_>, shared: &Shared) {
        for (mailbox, outgoing) in shared.take_outbox() {
            self.send_for(config, mailbox, outgoing);
        }
        // Both the timer and workers with callouts to send wake the main thread.
        let now = now();
        let is_due = self.tick_pause.get().is_none_or(|pause| !pause.contains(now));
        if is_due || shared.snapshot().is_none() {
            self.renew(config, shared, now);
        }
        if !is_due {
            return;
        }
        self.tick_pause.set(Some(Period::of(now, TICK_PAUSE)));
        let in_use = shared.in_use();
        for (snapshot, mailbox) in &in_use {
            self.host(config, snapshot);
            mailbox.wake_one();
        }
        self.retain(config, &in_use);
        let snapshots: Vec<u64> = self.gateways.borrow().keys().copied().collect();
        for snapshot in snapshots {
            self.event(config, snapshot, |gateway| gateway.tick(now));
        }
        for (snapshot, mailbox) in &in_use {
            self.metrics.borrow().feed(config, snapshot.id(), &mailbox.take_counted());
        }
        let metrics = self.metrics.borrow();
        metrics.unconfigured(config, shared.take_unconfigured());
        metrics.panicked(config, shared.take_panics());
        metrics.reused(config, gatepass_native::take_reused_signatures());
    }

    /// Makes a new snapshot when secrets have arrived or changed. An invalid one is logged,
    /// and the previous one stays, which is logged too: the proxy has started, and nothing
    /// else tells what came of the secret.
    fn renew(&self, config: &Config<'_>, shared: &Shared, now: UnixTime) {
        self.replaced.end(now);
        let changed = self.secrets.as_ref().and_then(|secrets| secrets.changed(config));
        let Some(changed) = changed else { return };
        let Some(snapshot) = changed.ok().and_then(|text| ConfigSnapshot::new(&text)) else {
            let instead = match shared.snapshot() {
                Some(_) => "the configuration with the previous ones stays in use",
                None => "requests get 503 until others arrive",
            };
            log::error!("gatepass: the new secrets from SDS are not accepted: {instead}");
            return;
        };
        if self.host(config, &snapshot).is_some()
            && let Some(before) = shared.replace_snapshot(snapshot)
        {
            self.replaced.add(before, now);
        }
    }

    /// Drops gateways whose snapshot is gone and that no stream needs: routes come and go
    /// while their listener stays.
    fn retain(&self, config: &Config<'_>, in_use: &[(Arc<ConfigSnapshot>, Arc<Mailbox>)]) {
        let is_needed = |id: u64| in_use.iter().any(|(snapshot, _)| snapshot.id() == id);
        let over: Vec<u64> = {
            let gateways = self.gateways.borrow();
            let over = gateways
                .iter()
                .filter(|(id, (snapshot, _))| snapshot.is_over() && !is_needed(**id));
            over.map(|(id, _)| *id).collect()
        };
        for snapshot in over {
            self.event(config, snapshot, Gateway::retire);
            self.gateways.borrow_mut().remove(&snapshot);
            self.metrics.borrow_mut().remove(snapshot);
        }
    }

    fn callout_done(&self, config: &Config<'_>, number: u64, reply: Option<&Reply<'_>>) {
        let Some(callout) = self.callouts.borrow_mut().remove(&number) else { return };
        let Callout { request, origins } = callout;
        let reply = reply.map_or(NO_REPLY, |reply| request.read(reply));
        self.joinable.borrow_mut().remove(&request);
        for (id, origin) in origins {
            match origin {
                Origin::Worker(mailbox) => mailbox.deliver(id, reply.clone(), now()),
                Origin::Main(snapshot) => {
                    self.event(config, snapshot, |gateway| gateway.reply(id, &reply, now()));
                }
            }
        }
    }

    /// Passes an event to a gateway and executes the resulting actions.
    fn event(&self, config: &Config<'_>, snapshot: u64, event: impl FnOnce(&mut Gateway)) {
        let mut to_send = Vec::new();
        {
            let mut gateways = self.gateways.borrow_mut();
            let Some((_, gateway)) = gateways.get_mut(&snapshot) else { return };
            event(gateway);
            while let Some(action) = gateway.poll() {
                // The main thread's gateway never has requests.
                let Action::Send(dispatch) = action else { continue };
                let outgoing = Outgoing::new(&dispatch, gateway.max_reply_bytes());
                match self.send(config, &outgoing) {
                    Some(number) => to_send.push((number, outgoing)),
                    None => gateway.reply(outgoing.id, &NOT_SENT, now()),
                }
            }
            gateway.take_log().iter().for_each(write_log);
            self.metrics.borrow().feed(config, snapshot, &gateway.take_metrics());
        }
        self.callouts.borrow_mut().extend(to_send.into_iter().map(|(number, outgoing)| {
            let origins = vec![(outgoing.id, Origin::Main(snapshot))];
            (number, Callout { request: outgoing.request, origins })
        }));
    }
}

const NOT_SENT: CalloutReply = CalloutReply::Failed(CalloutFailure::NotSent);
const NO_REPLY: CalloutReply = CalloutReply::Failed(CalloutFailure::NoReply);
