//! All calls to the host, and the differences between hosts.
//!
//! | | Envoy | ngx_wasm_module (Kong) |
//! |---|---|---|
//! | removing a header | removes every copy | hides it from the filter only |
//! | setting a header | replaces every copy | replaces the first copy |
//! | listing headers | all of them | fails above 100 |
//! | `:path` | what goes upstream | decoded; the raw one is a property |
//! | `:authority` | what goes upstream | the server's name; `Host` has the client's |
//! | a callout to a bad address | refuses it | traps |
//! | a callout's timeout | covers the exchange | covers each read, so the callout may never end |
//! | another request's context | can be entered | stays closed |
//! | a callout whose request is over | goes on | ends |
//! | shared data | always there | traps unless a zone is configured |
//! | writing it without a version | replaces the value | only creates a missing one |
//! | `on_configure` returns false | the listener is refused | the filter is skipped |
//! | a body that no field announces | the end of the stream is told | nothing is told |
//! | a trap while a request waits | the request fails | the request passes |
//! | a long log line | kept | cut at 2048 bytes |
//! | an unknown foreign function | returns an error | traps |
//! | several fields of one name in a reply | sends all | sends the last |
//! | a reply's body, when a callout that had a body got none | sent | the connection is closed |
//! | `X-Forwarded-*` | its own, if it is the edge | the client's |
//! | a metric defined twice | has two ids | has one id, a hash of its name |
//!
//! An unknown host is treated as the second, whose rules are safe on both.
//!
//! Each call may fail: [`abi`] lists the consequences.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use gatepass::access_log::AccessLogFields;
use gatepass::callout::{Answer, Callout, CalloutFailure, CalloutReply, ReplyFields, joined};
use gatepass::config::Problem;
use gatepass::host::{HostCapabilities, parse_address, parse_connection};
use gatepass::http::{Edit, Fields, LocalReply, RequestHead};
use gatepass::keys::HostCrypto;
use gatepass::metrics::Kind;
use gatepass::pipeline::SharedData;
use gatepass::time::{Span, UnixTime};
use proxy_wasm::types::{BufferType, MapType, MetricType};

use crate::abi::{self, LocalResponse, Status};
use crate::crypto::EnvoyCrypto;
use crate::nginx;
use crate::store::Store;

/// The host this VM runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Envoy,
    NgxWasm,
}

/// From this many header fields on, ngx_wasm_module cannot list them safely: it returns
/// at most 100, four of them pseudo-headers.
const NGX_WASM_MAX_HEADERS: usize = 90;

/// A metric known to the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    id: u32,
    kind: Kind,
}

impl Metric {
    /// True if the host treats both as one.
    pub(crate) const fn is(self, other: Self) -> bool {
        self.id == other.id
    }
}

/// Why a request's headers cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// There are more than the host can list: the first number that is too many.
    TooMany { limit: usize },
    /// The host does not give them.
    Host,
}

/// The host failed to do what the verdict needs.
#[derive(Debug)]
pub(crate) struct HostError;

/// A time in nanoseconds, to measure from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u64);

impl From<Status> for HostError {
    fn from(_: Status) -> Self {
        Self
    }
}

/// Keeps a suspended request from passing by itself, should the VM trap meanwhile;
/// contains the value to restore. None on Envoy, where such a request fails, and on an
/// nginx without the variable.
#[derive(Debug)]
pub(crate) struct Guard(Option<Vec<u8>>);

impl Host {
    /// A host that may be either: the rules for the second are safe on both.
    pub(crate) const UNKNOWN: Self = Self::NgxWasm;

    /// Detects the host by a property that only Envoy has. Other properties must not be
    /// read here: ngx_wasm_module crashes on some of them in a root context.
    pub(crate) fn detect() -> Self {
        match abi::property("xds\0node") {
            Ok(Some(node)) if !node.is_empty() => Self::Envoy,
            _ => Self::UNKNOWN,
        }
    }

    pub(crate) const fn capabilities(self) -> HostCapabilities {
        match self {
            Self::Envoy => HostCapabilities::ENVOY,
            Self::NgxWasm => HostCapabilities::NGX_WASM,
        }
    }

    /// The cryptography of the host. Its presence is never probed by calling it: only
    /// Envoy survives that.
    pub(crate) fn crypto(self) -> Option<Rc<dyn HostCrypto>> {
        match self {
            Self::Envoy => Some(Rc::new(EnvoyCrypto)),
            Self::NgxWasm => None,
        }
    }

    /// True if a refused configuration blocks requests. A host that would skip the filter
    /// gets one that denies everything.
    pub(crate) const fn fails_closed_unconfigured(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// The longest log line that is kept whole.
    pub(crate) const fn max_log_line(self) -> usize {
        match self {
            Self::Envoy => usize::MAX,
            // 2048, including the time and the request that nginx adds.
            Self::NgxWasm => 1700,
        }
    }

    /// True if shared data may be used while the filter is configured. ngx_wasm_module
    /// traps without a zone for it, and whether there is one can be queried only in a
    /// request.
    pub(crate) const fn shares_when_configured(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// The data shared by workers, where it is available.
    pub(crate) fn shared_store(self, wanted: SharedData) -> Option<Store> {
        let creates_only = match (self, wanted) {
            (_, SharedData::Never) | (Self::NgxWasm, SharedData::Auto) => return None,
            (Self::Envoy, _) => false,
            (Self::NgxWasm, SharedData::Always) => true,
        };
        let store = Store { creates_only, max_bytes: usize::MAX };
        let is_there = !self.shares_when_configured() || store.answers();
        is_there.then_some(store)
    }

    /// Checks in a request whether the host can do what the configuration needs: a root
    /// context must not query that. `shares`: workers are to share data.
    pub(crate) fn incompatibility(self, shares: bool) -> Option<Problem> {
        match self {
            Self::Envoy => None,
            // Most likely an Envoy that withholds its properties.
            Self::NgxWasm if !nginx::is_nginx() => Some(Problem::new(
                "$",
                "a host that cannot be identified, since it provides no properties",
                "nginx, or an Envoy that lets the filter call proxy_get_property",
            )),
            Self::NgxWasm if shares && !nginx::has_zone() => Some(Problem::new(
                "$.shared_data",
                "always, and no zone for it",
                "always with nginx_wasm_shm_kv in kong.conf; or auto, never",
            )),
            Self::NgxWasm => None,
        }
    }

    /// The shared data for use in requests, in one of which this is called.
    pub(crate) fn bounded(self, store: Store) -> Store {
        match self {
            Self::Envoy => store,
            Self::NgxWasm => Store { max_bytes: nginx::max_shared_bytes(), ..store },
        }
    }

    /// Defines a metric. Must be called when the filter is configured; on ngx_wasm_module
    /// a name that is [too long](crate::metrics::define) traps.
    pub(crate) fn define(self, kind: Kind, name: &str) -> Option<Metric> {
        let sort = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        abi::define_metric(sort, name).ok().map(|id| Metric { id, kind })
    }

    /// Adds or records an amount, by the kind of the metric: ngx_wasm_module traps on the
    /// other call.
    pub(crate) fn measure(self, metric: Metric, amount: u64) {
        // A metric is not worth a request.
        let _ = match metric.kind {
            Kind::Counter => {
                let amount = i64::try_from(amount).unwrap_or(i64::MAX);
                abi::add_to_metric(metric.id, amount)
            }
            Kind::Gauge | Kind::Histogram => abi::record_metric(metric.id, amount),
        };
    }

    /// The time. Nothing can be decided without it: no token would ever expire.
    pub(crate) fn now(self) -> Result<UnixTime, HostError> {
        let millis = abi::now_nanos()?.checked_div(1_000_000).unwrap_or_default();
        Ok(UnixTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// The time, to measure from; none on ngx_wasm_module, whose clock stands still during a
    /// callback.
    pub(crate) fn moment(self) -> Option<Moment> {
        match self {
            Self::Envoy => abi::now_nanos().ok().map(Moment),
            Self::NgxWasm => None,
        }
    }

    /// The microseconds since then; none if the clock was set back.
    pub(crate) fn micros_since(self, Moment(start): Moment) -> Option<u64> {
        abi::now_nanos().ok()?.checked_sub(start)?.checked_div(1000)
    }

    /// Has the root context called regularly.
    pub(crate) fn tick_every(self, period: Span) -> Result<(), HostError> {
        let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
        abi::set_tick_period(millis).map_err(HostError::from)
    }

    /// The plugin's configuration, which is this many bytes long.
    pub(crate) fn configuration(self, bytes: usize) -> Result<Vec<u8>, Status> {
        abi::buffer(BufferType::PluginConfiguration, bytes)
    }

    /// The head of a request, with all headers: without all of them it cannot be
    /// sanitized. `is_whole` if nothing follows, which ngx_wasm_module never says.
    pub(crate) fn request_head(
        self,
        fields: usize,
        is_whole: bool,
    ) -> Result<RequestHead, Unreadable> {
        if self == Self::NgxWasm && fields >= NGX_WASM_MAX_HEADERS {
            return Err(Unreadable::TooMany { limit: NGX_WASM_MAX_HEADERS });
        }
        let mut fields = abi::header_fields(MapType::HttpRequestHeaders, fields)
            .map_err(|_| Unreadable::Host)?;
        if self == Self::NgxWasm {
            nginx::restore_path(&mut fields).map_err(|_| Unreadable::Host)?;
            nginx::restore_authority(&mut fields);
            nginx::restore_length(&mut fields).map_err(|_| Unreadable::Host)?;
        }
        Ok(RequestHead::from(fields).with_body(self == Self::Envoy && !is_whole))
    }

    /// Edits the request as decided, for the upstream.
    pub(crate) fn apply<'a>(self, edits: impl Iterator<Item = Edit<'a>>) -> Result<(), HostError> {
        for edit in edits {
            match edit {
                Edit::Remove(name) => self.clear(name)?,
                Edit::Set(name, value) => {
                    abi::set_header(MapType::HttpRequestHeaders, name, value)?
                }
                Edit::Path(path) => self.set_path(path)?,
            }
        }
        Ok(())
    }

    fn clear(self, name: &str) -> Result<(), HostError> {
        let cleared = match self {
            Self::Envoy => abi::remove_header(MapType::HttpRequestHeaders, name),
            Self::NgxWasm => abi::set_header(MapType::HttpRequestHeaders, name, b""),
        };
        cleared.map_err(HostError::from)
    }

    fn set_path(self, path: &[u8]) -> Result<(), HostError> {
        let set = match self {
            Self::Envoy => abi::set_header(MapType::HttpRequestHeaders, ":path", path),
            Self::NgxWasm => nginx::set_upstream_path(path),
        };
        set.map_err(HostError::from)
    }

    /// The trailers of the request in whose callback this is called.
    pub(crate) fn request_trailers(self, announced: usize) -> Result<Fields, HostError> {
        abi::header_fields(MapType::HttpRequestTrailers, announced).map_err(HostError::from)
    }

    /// Removes trailers from the request in whose callback this is called.
    pub(crate) fn remove_trailers(self, names: &[String]) -> Result<(), HostError> {
        for name in names {
            abi::remove_header(MapType::HttpRequestTrailers, name)?;
        }
        Ok(())
    }

    /// Resumes a paused request.
    pub(crate) fn resume(self) -> Result<(), HostError> {
        abi::continue_request().map_err(HostError::from)
    }

    /// Enters another request's context, so that header edits and replies go to
    /// it; false if it is gone.
    pub(crate) fn enter(self, context_id: u32) -> bool {
        abi::enter_context(context_id).is_ok()
    }

    /// Answers the request whose context is entered. `details` is for Envoy's
    /// `%RESPONSE_CODE_DETAILS%`; without any that column of an access log would be
    /// missing.
    pub(crate) fn reply(self, reply: &LocalReply, details: &str) {
        // The host may reject its contents.
        let sent = self
            .try_reply(reply, details)
            .or_else(|_| self.try_reply(&LocalReply::new(500), details));
        if sent.is_err() {
            // The request stays paused, and cannot pass by itself.
            let _ = self.deny_for_good();
        }
    }

    fn try_reply(self, reply: &LocalReply, details: &str) -> Result<(), Status> {
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
        abi::send_local_response(&LocalResponse {
            status: reply.status,
            headers: &headers,
            body: &reply.body,
            details,
        })
    }

    /// Whether an answer with a body is lost in the callback of a callout that had a body, if
    /// its reply has none: ngx_wasm_module uses the callout's buffer for the answer, and then
    /// empties it. nginx writes nothing ("zero size buf in writer") and closes the connection.
    pub(crate) const fn loses_bodies(self) -> bool {
        matches!(self, Self::NgxWasm)
    }

    /// Sends a callout; returns the token that identifies its reply.
    pub(crate) fn dispatch(self, callout: &Callout) -> Result<u32, CalloutFailure> {
        let service = &callout.service;
        if self == Self::NgxWasm && !nginx::is_address(&service.upstream) {
            return Err(CalloutFailure::NotSent);
        }
        let timeout = u32::try_from(service.timeout.as_millis()).unwrap_or(u32::MAX);
        let timeout = Duration::from_millis(timeout.into());
        abi::dispatch(&service.upstream, callout.head(), callout.body(), timeout)
            .map_err(|_| CalloutFailure::NotSent)
    }

    /// The reply announced by a callback. A failed call has no headers; on Kong it may
    /// have some, but no `:status`.
    pub(crate) fn callout_reply(
        self,
        headers: usize,
        body_bytes: usize,
        max_bytes: usize,
        reads: ReplyFields,
    ) -> CalloutReply {
        match self.read_reply(headers, body_bytes, max_bytes, reads) {
            Ok(answer) => CalloutReply::Answer(answer),
            Err(failure) => CalloutReply::Failed(failure),
        }
    }

    fn read_reply(
        self,
        headers: usize,
        body_bytes: usize,
        max_bytes: usize,
        reads: ReplyFields,
    ) -> Result<Answer, CalloutFailure> {
        // Announced data that the host does not deliver was cut off.
        let broken = |_: Status| CalloutFailure::Broken;
        let header = |name| abi::header_value(MapType::HttpCallResponseHeaders, name);
        if headers == 0 {
            return Err(CalloutFailure::NoReply);
        }
        let status = header(":status").map_err(broken)?;
        let status = status.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok());
        let status = status.ok_or(CalloutFailure::NoReply)?;
        if body_bytes > max_bytes {
            return Err(CalloutFailure::TooLarge { limit: max_bytes });
        }
        let limit = NGX_WASM_MAX_HEADERS;
        if reads == ReplyFields::All && self == Self::NgxWasm && headers >= limit {
            return Err(CalloutFailure::TooManyFields { limit });
        }
        let fields = match reads {
            ReplyFields::All => {
                abi::header_fields(MapType::HttpCallResponseHeaders, headers).map_err(broken)?
            }
            ReplyFields::These(names) => {
                let mut fields = Vec::with_capacity(names.len());
                for name in names {
                    fields.extend(header(name).map_err(broken)?.map(|value| (*name, value)));
                }
                fields.iter().map(|(name, value)| (*name, value.as_slice())).collect()
            }
        };
        let cache_control = self.cache_control(headers).map_err(broken)?;
        let body = abi::buffer(BufferType::HttpCallResponseBody, body_bytes).map_err(broken)?;
        Ok(Answer { status, cache_control, fields, body })
    }

    /// The reply's `Cache-Control`, complete. Only a full list of the fields shows a
    /// repeated one, and only a reply that has a first one needs that list. If it cannot
    /// be listed, nothing may be cached.
    fn cache_control(self, headers: usize) -> Result<Option<Vec<u8>>, Status> {
        let name = "cache-control";
        if abi::header_value(MapType::HttpCallResponseHeaders, name)?.is_none() {
            return Ok(None);
        }
        let is_listable = self == Self::Envoy || headers < NGX_WASM_MAX_HEADERS;
        if !is_listable {
            return Ok(Some(b"no-store".to_vec()));
        }
        let fields = abi::header_fields(MapType::HttpCallResponseHeaders, headers)?;
        Ok(joined(&fields, name))
    }

    /// The id under which the host logs the request, where that is not the `x-request-id`
    /// header.
    pub(crate) fn request_id(self) -> Option<Vec<u8>> {
        let variable = |path| abi::property(path).ok().flatten();
        match self {
            Self::Envoy => None,
            // Kong's own, else the one of plain nginx.
            Self::NgxWasm => {
                variable("ngx\0kong_request_id").or_else(|| variable("ngx\0request_id"))
            }
        }
    }

    /// What Envoy's `mcp` filter stored, by its path in the metadata.
    pub(crate) fn mcp(self, path: &[&str]) -> Option<Vec<u8>> {
        let start = "metadata\0filter_metadata\0envoy.filters.http.mcp";
        let path = path.iter().fold(start.to_owned(), |path, name| format!("{path}\0{name}"));
        matches!(self, Self::Envoy).then(|| abi::property(&path).ok().flatten()).flatten()
    }

    /// The client's address as the host has it; on Envoy with the port.
    pub(crate) fn client_address(self) -> Option<Vec<u8>> {
        abi::property("source\0address").ok().flatten()
    }

    /// The address of the connection. Envoy reports none for a listener that takes the
    /// client's address from a header: that has port 0.
    pub(crate) fn peer_address(self) -> Option<IpAddr> {
        match self {
            Self::Envoy => parse_connection(&self.client_address()?),
            Self::NgxWasm => {
                parse_address(&abi::property("ngx\0realip_remote_addr").ok().flatten()?)
            }
        }
    }

    /// The SHA-256 of the client's certificate in hex, of a listener that asked for one; no
    /// such property on ngx_wasm_module.
    pub(crate) fn client_certificate(self) -> Option<Vec<u8>> {
        match self {
            Self::Envoy => {
                abi::property("connection\0sha256_peer_certificate_digest").ok().flatten()
            }
            Self::NgxWasm => None,
        }
    }

    /// Whether the response at hand may be an upstream's, rather than one that the host or
    /// another filter made.
    pub(crate) fn is_upstreams_response(self) -> bool {
        match self {
            Self::Envoy => !matches!(
                abi::property("response\0code_details"),
                Ok(Some(details)) if !details.is_empty() && details != b"via_upstream"
            ),
            // The whole body is read before the head goes on.
            Self::NgxWasm => false,
        }
    }

    /// True if fields for the access log are published by default: only where that is
    /// known to be cheap.
    pub(crate) const fn publishes_by_default(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// True if this host's access log can read them. Must be called in a request: a root
    /// context must not query it.
    pub(crate) fn has_access_log(self) -> bool {
        match self {
            Self::Envoy => true,
            // The runtime has no such property outside Kong.
            Self::NgxWasm => nginx::is_kong(),
        }
    }

    /// Publishes fields for the access log: on Envoy as filter state
    /// `wasm.gatepass.<name>`, on Kong as `kong.ctx.shared.gatepass_<name>`. Only if it
    /// [can read them](Self::has_access_log).
    pub(crate) fn publish(self, fields: &AccessLogFields) {
        for (name, value) in fields.entries() {
            // A failure to publish does not fail the request.
            let _ = match self {
                Self::Envoy => abi::set_property(name, value.as_bytes()),
                Self::NgxWasm => {
                    let path = format!("kong\0ctx\0shared\0{}", name.replace('.', "_"));
                    abi::set_property(&path, value.as_bytes())
                }
            };
        }
    }

    /// Whether it says that a body has ended. nginx hands over none that has not.
    pub(crate) const fn ends_bodies(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// The body of the request in whose callback this is called, of `bytes`; `None` if the
    /// host cannot provide it, as when nginx has buffered it to a file.
    pub(crate) fn request_body(self, bytes: usize) -> Option<Vec<u8>> {
        match bytes {
            0 => Some(Vec::new()),
            bytes => abi::buffer(BufferType::HttpRequestBody, bytes).ok(),
        }
    }

    /// Guards a request that is about to wait. If the guard is needed and cannot be set,
    /// the request must not wait.
    pub(crate) fn arm_fail_closed(self) -> Result<Guard, HostError> {
        match self {
            Self::Envoy => Ok(Guard(None)),
            Self::NgxWasm => Ok(Guard(nginx::deny_upstream()?)),
        }
    }

    /// Keeps a request from passing that cannot be answered, and never will pass: the value
    /// of the guard need not be known.
    fn deny_for_good(self) -> Result<(), HostError> {
        match self {
            Self::Envoy => Ok(()),
            Self::NgxWasm => nginx::deny_for_good().map_err(HostError::from),
        }
    }

    /// Removes the guard from a request that may pass.
    pub(crate) fn disarm(self, guard: &Guard) -> Result<(), HostError> {
        match &guard.0 {
            Some(scheme) => nginx::restore_scheme(scheme).map_err(HostError::from),
            None => Ok(()),
        }
    }
}
