//! The gateway of one worker, with the requests that it decides.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use gatepass::binding::of_hex;
use gatepass::gateway::{Action, Gateway, TICK};
use gatepass::host::{RequestId, RequestInfo, parse_address, parse_connection};
use gatepass::http::RequestHead;
use gatepass::json;
use gatepass::time::{Period, UnixTime};
use gatepass_native::Stopwatch;

use crate::abi::{Filter, Request, StreamWaker, metadata, peer_certificate_digest, source_address};
use crate::mailbox::{Mail, Mailbox};
use crate::outgoing::Outgoing;
use crate::pending_actions::PendingActions;
use crate::shared::Shared;
use crate::snapshot::{ConfigSnapshot, log_problems, now, write_log};

thread_local! {
    /// The gateways of this thread; one or two, as a rule.
    static WORKERS: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// A gateway of one thread.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    snapshot: Arc<ConfigSnapshot>,
    gateway: RefCell<Gateway>,
    mailbox: Arc<Mailbox>,
    /// The streams that another stream's event may concern: those that wait, those whose
    /// body is being read, and those that end with their token.
    pending: RefCell<HashMap<Request, Rc<PendingActions>>>,
    /// The clients of waiting streams, which cannot be queried in another stream's event.
    clients: Clients,
    next: Cell<Request>,
    /// After a tick.
    tick_pause: Cell<Option<Period>>,
    /// A hook panicked; the gateway's state may be inconsistent.
    broken: Cell<bool>,
}

type Clients = Rc<RefCell<HashMap<Request, Client>>>;

/// What Envoy knows about a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    address: Option<IpAddr>,
    /// The address of its connection; none on a listener that takes the client's address
    /// from a header.
    peer: Option<IpAddr>,
    /// The SHA-256 of its certificate.
    certificate: Option<[u8; 32]>,
}

impl Client {
    /// The client of a request; only while [`Filter::while_current`] runs for it.
    pub(crate) fn of(request: Request) -> Self {
        let digest = || of_hex(std::str::from_utf8(&peer_certificate_digest(request)?).ok()?);
        let address = source_address(request);
        Self {
            address: address.as_deref().and_then(parse_address),
            peer: address.as_deref().and_then(parse_connection),
            certificate: digest(),
        }
    }
}

/// Envoy's facts about requests.
#[derive(Debug)]
struct Info(Clients);

impl RequestInfo for Info {
    /// The header `x-request-id`, which Envoy sets itself.
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        None
    }

    fn client_address(&self, RequestId(request): RequestId) -> Option<IpAddr> {
        let known = self.0.borrow().get(&request).copied();
        known.unwrap_or_else(|| Client::of(request)).address
    }

    fn peer_address(&self, RequestId(request): RequestId) -> Option<IpAddr> {
        let known = self.0.borrow().get(&request).copied();
        known.unwrap_or_else(|| Client::of(request)).peer
    }

    /// Texts and flags come from the dynamic metadata. Envoy does not expose nested
    /// values to modules; the `mcp` filter stores those as filter state, if configured
    /// to.
    fn mcp(&self, RequestId(request): RequestId, path: &[&str]) -> Option<Vec<u8>> {
        const NAMESPACE: &str = "envoy.filters.http.mcp";
        const STATE: &str = "envoy.filters.http.mcp.request";
        match path {
            [flag] if flag.starts_with("is_") => {
                metadata::flag(request, NAMESPACE, flag).map(|flag| vec![u8::from(flag)])
            }
            [key] => metadata::text(request, NAMESPACE, key),
            _ => {
                let state = json::parse(&metadata::state(request, STATE)?).ok()?;
                let found = path.iter().try_fold(&state, |state, name| state.get(name))?;
                found.as_str().map(|text| text.as_bytes().to_vec())
            }
        }
    }

    fn client_certificate(&self, RequestId(request): RequestId) -> Option<[u8; 32]> {
        let known = self.0.borrow().get(&request).copied();
        known.unwrap_or_else(|| Client::of(request)).certificate
    }
}

impl Worker {
    /// This thread's gateway for a filter configuration and a snapshot, the listener's or a
    /// route's; created if there is none. `None` if it cannot be created.
    pub(crate) fn of(shared: &Arc<Shared>, snapshot: &Arc<ConfigSnapshot>) -> Option<Rc<Self>> {
        let is_it = |worker: &Rc<Self>| {
            worker.shared.id() == shared.id() && worker.snapshot.id() == snapshot.id()
        };
        let found = WORKERS.with_borrow(|workers| workers.iter().find(|it| is_it(it)).cloned());
        if found.is_some() {
            return found;
        }
        let made = Rc::new(Self::new(shared, snapshot)?);
        WORKERS.with_borrow_mut(|workers| workers.push(Rc::clone(&made)));
        Some(made)
    }

    /// Drops the gateways of destroyed configurations.
    fn clear() {
        let over = WORKERS.try_with(|workers| {
            let mut workers = workers.borrow_mut();
            workers.extract_if(.., |worker| worker.is_over()).collect::<Vec<_>>()
        });
        drop(over);
    }

    fn new(shared: &Arc<Shared>, snapshot: &Arc<ConfigSnapshot>) -> Option<Self> {
        let clients = Clients::default();
        let gateway = snapshot.gateway(Some(Box::new(Info(Rc::clone(&clients)))));
        let mut gateway = gateway.map_err(|problems| log_problems(&problems)).ok()?;
        // The main thread's gateway has logged these events already.
        gateway.take_log();
        let mailbox = Arc::new(Mailbox::default());
        shared.join(snapshot, &mailbox);
        Some(Self {
            shared: Arc::clone(shared),
            snapshot: Arc::clone(snapshot),
            gateway: RefCell::new(gateway),
            mailbox,
            pending: RefCell::default(),
            clients,
            next: Cell::new(0),
            tick_pause: Cell::new(None),
            broken: Cell::new(false),
        })
    }

    /// True if no new streams will come to it.
    fn is_over(&self) -> bool {
        self.shared.is_over() || self.snapshot.is_over()
    }

    /// A number for a new request.
    pub(crate) fn number(&self) -> Request {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    /// True if a hook panicked: this gateway decides no more requests.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// A hook panicked: this gateway is not used again, the next request creates a new
    /// one, and waiting streams are woken to be denied.
    pub(crate) fn mark_broken(&self) {
        self.broken.set(true);
        self.shared.panicked();
        let _ = WORKERS.try_with(|workers| {
            workers.borrow_mut().retain(|worker| !std::ptr::eq(&raw const **worker, self));
        });
        let pending: Vec<_> = self.pending.borrow().values().cloned().collect();
        pending.iter().for_each(|stream| stream.wake());
    }

    /// Passes a stream's event to the gateway, with the mail and the time. Returns the
    /// actions for this stream; those for others are queued there, and these are woken,
    /// since they must act in hooks of their own. `None` if the gateway must not be used.
    pub(crate) fn event(
        &self,
        request: Request,
        filter: &Filter<'_>,
        event: impl FnOnce(&mut Gateway, UnixTime),
    ) -> Option<Vec<Action>> {
        let mut gateway = self.gateway.try_borrow_mut().ok().filter(|_| !self.is_broken())?;
        let watch = gateway.begin_measurement().then(Stopwatch::start);
        let now = now();
        let mail = self.mailbox.take();
        let is_due = self.tick_pause.get().is_none_or(|pause| !pause.contains(now));
        if is_due {
            Self::clear();
        }
        // As a rule there is one, and an action is large.
        let mut own = Vec::with_capacity(1);
        let mut others = Vec::new();
        filter.while_current(request, || {
            // Before the gateway gets the current time, which would make replies overdue
            // that arrived while this worker had no requests; each with its time of
            // arrival.
            for Mail { callout, reply, came } in &mail {
                gateway.reply(*callout, reply, *came);
            }
            if is_due {
                self.tick_pause.set(Some(Period::of(now, TICK)));
                gateway.tick(now);
            }
            event(&mut gateway, now);
            while let Some(action) = gateway.poll() {
                match action.request() {
                    Some(RequestId(about)) if about == request => own.push(action),
                    _ => others.push(action),
                }
            }
        });
        let log = gateway.take_log();
        if let Some(watch) = watch {
            gateway.end_measurement(watch.micros());
        }
        self.mailbox.count(gateway.take_metrics());
        let max_bytes = gateway.max_reply_bytes();
        drop(gateway);
        log.iter().for_each(write_log);
        for action in others {
            match action {
                // Not queued for the stream: if that ends, others may still wait for the
                // callout. It is held already.
                Action::Send(dispatch) | Action::Suspend { dispatch: Some(dispatch), .. } => {
                    self.shared.send(&self.mailbox, Outgoing::new(&dispatch, max_bytes));
                }
                Action::Suspend { dispatch: None, .. } => {}
                Action::Forward { request: RequestId(about), .. }
                | Action::Reply { request: RequestId(about), .. }
                | Action::ReadBody { request: RequestId(about), .. } => {
                    let stream = self.pending.borrow().get(&about).cloned();
                    if let Some(stream) = stream {
                        stream.push(action);
                    }
                }
            }
        }
        Some(own)
    }

    /// Sends the callout of a held request.
    pub(crate) fn send(&self, dispatch: &gatepass::gateway::Dispatch) {
        let max_bytes = self.gateway.try_borrow().map_or(0, |gateway| gateway.max_reply_bytes());
        self.shared.send(&self.mailbox, Outgoing::new(dispatch, max_bytes));
    }

    /// The bytes of a request's body to buffer while it waits: those that the gateway may
    /// read then. `None` for one that may be forwarded.
    pub(crate) fn buffer_limit(&self, head: &RequestHead) -> Option<usize> {
        let gateway = self.gateway.try_borrow().ok()?;
        gateway.may_wait_and_read(head).then(|| gateway.max_reply_bytes())
    }

    /// Whether a request that was forwarded ends with its token.
    pub(crate) fn ends_with_token(&self, request: Request) -> bool {
        self.gateway.try_borrow().is_ok_and(|gateway| gateway.ends_with_token(RequestId(request)))
    }

    /// Whether another stream's event may concern a request.
    pub(crate) fn is_registered(&self, request: Request) -> bool {
        self.pending.borrow().contains_key(&request)
    }

    /// A stream waits, its body is being read, or it ends with its token.
    pub(crate) fn register(
        &self,
        request: Request,
        stream: &Rc<PendingActions>,
        waker: Arc<StreamWaker>,
        client: Client,
    ) {
        self.pending.borrow_mut().insert(request, Rc::clone(stream));
        self.clients.borrow_mut().insert(request, client);
        self.mailbox.start_waiting(request, waker);
    }

    /// A stream is decided.
    pub(crate) fn release(&self, request: Request) {
        // Nearly always: looking a number up in an empty map would hash it first.
        if self.pending.borrow().is_empty() {
            return;
        }
        self.clients.borrow_mut().remove(&request);
        if self.pending.borrow_mut().remove(&request).is_some() {
            self.mailbox.stop_waiting(request);
        }
    }

    /// A stream is over.
    pub(crate) fn gone(&self, request: Request) {
        self.release(request);
        if self.is_broken() {
            return;
        }
        if let Ok(mut gateway) = self.gateway.try_borrow_mut() {
            gateway.gone(RequestId(request));
        }
    }
}
