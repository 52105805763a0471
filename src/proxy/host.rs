//! Every call to the host, and what hosts do differently.
//!
//! | | Envoy | ngx_wasm_module (Kong) |
//! |---|---|---|
//! | removing a header | removes every copy | hides it from the filter only |
//! | setting a header | replaces every copy | replaces the first copy |
//! | listing headers | all of them | panics the SDK above 100 |
//! | `:path` | what goes upstream | decoded; the raw one is a property |
//! | `:authority` | what goes upstream | the server's name; there is `Host` |
//! | a callout to a bad address | refuses it | traps |
//! | a callout's time-out | of the exchange | of each read, so it may never end |
//! | another request's context | can be entered | stays closed |
//! | a callout whose request is over | goes on | ends |
//! | shared data | always there | traps unless a zone is configured |
//! | writing it without a version | replaces the value | only creates one |
//! | `on_configure` says no | the listener is refused | the filter is skipped |
//! | a trap while a request waits | the request fails | the request passes |
//! | a long line of the log | kept | cut at 2048 bytes |
//! | a foreign function it does not know | answers so | traps |
//! | several fields of one name in a reply | sends all | sends the last |
//! | `X-Forwarded-*` | its own, if it is the edge | what the client sent |
//! | a metric defined twice | has two ids | has one id, a hash of its name |
//!
//! A host that is not known to be Envoy is taken for the second, whose rules
//! are safe on both.
//!
//! Only the SDK's calls that take and give bytes are used: those that give
//! strings panic on a byte above 0x7F, and a panic ends the whole VM.

use std::net::Ipv6Addr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

use super::abi;
use super::crypto::EnvoyCrypto;
use super::store::Store;
use crate::callout::{Answer, Callout, CalloutFailure, CalloutReply};
use crate::gateway::{HostTraits, SharedData};
use crate::http::{Fields, RequestHead};
use crate::keys::HostCrypto;
use crate::metrics::Kind;
use crate::shared_data::SharedStore;
use crate::time::UnixTime;
use crate::verdict::{AccessNote, HeaderEdits, LocalReply};

/// The host this VM runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Envoy,
    NgxWasm,
}

/// From this many header fields on, ngx_wasm_module cannot list them safely: it
/// gives out at most 100, four of them pseudo headers.
const NGX_WASM_MAX_HEADERS: usize = 90;

/// The nginx variable that a request waiting for a callout is guarded by: with
/// this value in it nginx answers 500, should the request go on by itself.
const NGX_SCHEME: [&str; 2] = ["ngx", "upstream_scheme"];
const NGX_DENIED: &[u8] = b"denied";

/// The length of `sun_path` on Linux.
const NGX_MAX_SOCKET_PATH: usize = 108;

/// ngx_wasm_module takes 256 bytes, its own prefix with the filter's name
/// included.
const MAX_METRIC_NAME: usize = 200;

/// A metric that the host knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    id: u32,
    kind: Kind,
}

impl Metric {
    /// Whether the host takes both for one.
    pub(super) const fn is(self, other: Self) -> bool {
        self.id == other.id
    }
}

/// The header map could not be listed: too many fields.
#[derive(Debug)]
pub(super) struct TooManyHeaders {
    pub limit: usize,
}

/// The host would not do what the verdict needs.
#[derive(Debug)]
pub(super) struct HostError;

impl From<Status> for HostError {
    fn from(_: Status) -> Self {
        Self
    }
}

impl Host {
    /// A host that may be either: the rules of the second are safe on both.
    pub(super) const UNKNOWN: Self = Self::NgxWasm;

    /// Tells the host by a property that only Envoy has. Other properties must
    /// not be read here: ngx_wasm_module crashes on some of them in a root
    /// context.
    pub(super) fn detect() -> Self {
        match hostcalls::get_property(vec!["xds", "node"]) {
            Ok(Some(node)) if !node.is_empty() => Self::Envoy,
            _ => Self::UNKNOWN,
        }
    }

    pub(super) const fn traits(self) -> HostTraits {
        match self {
            Self::Envoy => HostTraits::ENVOY,
            Self::NgxWasm => HostTraits::NGX_WASM,
        }
    }

    /// The cryptography of the host. Whether there is any is never found out by
    /// calling: only Envoy survives that.
    pub(super) fn crypto(self) -> Option<Rc<dyn HostCrypto>> {
        match self {
            Self::Envoy => Some(Rc::new(EnvoyCrypto)),
            Self::NgxWasm => None,
        }
    }

    /// Whether a configuration that is refused keeps requests from passing. A
    /// host that would skip the filter gets one that denies everything.
    pub(super) const fn fails_closed_unconfigured(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// The longest line of the log that is kept whole.
    pub(super) const fn max_log_line(self) -> usize {
        match self {
            Self::Envoy => usize::MAX,
            // 2048 with the time and the request that nginx puts around it.
            Self::NgxWasm => 1700,
        }
    }

    /// Whether the workers' data may be used when the filter is configured.
    /// ngx_wasm_module traps without a zone for them: there Kong would skip the
    /// filters of every route, and in a tick the worker would do nothing but
    /// trap. In a request that is a 500.
    pub(super) const fn shares_when_configured(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// Data that workers share, where it is there.
    pub(super) fn shared_store(self, wanted: SharedData) -> Option<Box<dyn SharedStore>> {
        match (self, wanted) {
            (_, SharedData::Never) | (Self::NgxWasm, SharedData::Auto) => None,
            (Self::Envoy, _) => Some(Box::new(Store { creates_only: false })),
            (Self::NgxWasm, SharedData::Always) => Some(Box::new(Store { creates_only: true })),
        }
    }

    /// Defines a metric. To be called when the filter is configured: on
    /// ngx_wasm_module a name that is too long traps.
    pub(super) fn define(self, kind: Kind, name: &str) -> Option<Metric> {
        let sort = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        if name.len() > MAX_METRIC_NAME {
            return None;
        }
        hostcalls::define_metric(sort, name).ok().map(|id| Metric { id, kind })
    }

    /// Puts an amount to a metric, as its kind is fed: ngx_wasm_module traps on
    /// the other way.
    pub(super) fn measure(self, metric: Metric, amount: u64) {
        // A metric is not worth a request.
        let _ = match metric.kind {
            Kind::Counter => {
                let amount = i64::try_from(amount).unwrap_or(i64::MAX);
                hostcalls::increment_metric(metric.id, amount)
            }
            Kind::Gauge | Kind::Histogram => hostcalls::record_metric(metric.id, amount),
        };
    }

    pub(super) fn now(self) -> UnixTime {
        let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        UnixTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    pub(super) fn request_head(self, fields: usize) -> Result<RequestHead, TooManyHeaders> {
        if self == Self::NgxWasm && fields >= NGX_WASM_MAX_HEADERS {
            return Err(TooManyHeaders { limit: NGX_WASM_MAX_HEADERS });
        }
        // Who cannot see its headers cannot cleanse it.
        let fields = abi::header_fields(MapType::HttpRequestHeaders);
        let mut fields = fields.ok_or(TooManyHeaders { limit: NGX_WASM_MAX_HEADERS })?;
        if self == Self::NgxWasm {
            Self::restore_path(&mut fields);
            Self::restore_authority(&mut fields);
        }
        Ok(fields.into())
    }

    /// Puts the request target as received in the place of `:path`, which
    /// ngx_wasm_module gives decoded and with its dot segments resolved: rules
    /// would be matched against another path than the upstream gets.
    ///
    /// The query is the one that goes upstream: other plugins may have changed
    /// it, and a token is taken out of what they made of it.
    fn restore_path(fields: &mut Fields) {
        let raw = hostcalls::get_property(vec!["request", "path"]).ok().flatten();
        if let (Some(raw), true) = (raw, fields.first(":path").is_some()) {
            let query = hostcalls::get_property(vec!["ngx", "args"]).ok().flatten();
            let query = query.unwrap_or_default();
            let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
            let path = with_query_of(&[mark, &query].concat(), &raw);
            fields.remove(":path");
            fields.push(":path", &path);
        }
    }

    /// Puts `Host` in the place of `:authority`, which is the name of the nginx
    /// server and not the host that the client asked for.
    fn restore_authority(fields: &mut Fields) {
        let hosts: Vec<Vec<u8>> = fields.values("host").map(<[u8]>::to_vec).collect();
        fields.remove(":authority");
        for host in hosts {
            fields.push(":authority", &host);
        }
    }

    /// Makes the request what the upstream may see.
    pub(super) fn apply(self, edits: &HeaderEdits) -> Result<(), HostError> {
        let set = |name: &str, value: &[u8]| {
            hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value))
        };
        for name in &edits.cleansing.clear {
            // Set below, which replaces it.
            if edits.set.iter().any(|(set, _)| set.as_str().eq_ignore_ascii_case(name)) {
                continue;
            }
            self.clear(name)?;
        }
        for (name, value) in &edits.cleansing.rewrite {
            if value.is_empty() { self.clear(name)? } else { set(name, value)? }
        }
        if let Some(path) = &edits.cleansing.path {
            self.set_path(path)?;
        }
        for (name, value) in edits.set.iter() {
            set(name.as_str(), value)?;
        }
        Ok(())
    }

    fn clear(self, name: &str) -> Result<(), HostError> {
        let blank: &[u8] = b"";
        let value = match self {
            Self::Envoy => None,
            Self::NgxWasm => Some(blank),
        };
        Ok(hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, value)?)
    }

    fn set_path(self, path: &[u8]) -> Result<(), HostError> {
        match self {
            Self::Envoy => {
                let map = MapType::HttpRequestHeaders;
                Ok(hostcalls::set_map_value_bytes(map, ":path", Some(path))?)
            }
            Self::NgxWasm => {
                let variable = || vec!["ngx", "upstream_uri"];
                // Writing a variable that is not there would panic.
                let target = hostcalls::get_property(variable())?.ok_or(HostError)?;
                let target = with_query_of(path, &target);
                Ok(hostcalls::set_property(variable(), Some(&target))?)
            }
        }
    }

    /// The trailers of the request in whose callback this is called.
    pub(super) fn request_trailers(self) -> Result<Fields, TooManyHeaders> {
        let fields = abi::header_fields(MapType::HttpRequestTrailers);
        fields.ok_or(TooManyHeaders { limit: NGX_WASM_MAX_HEADERS })
    }

    /// Takes trailers out of the request in whose callback this is called.
    pub(super) fn remove_trailers(self, names: &[String]) -> Result<(), HostError> {
        for name in names {
            hostcalls::set_map_value_bytes(MapType::HttpRequestTrailers, name, None)?;
        }
        Ok(())
    }

    /// Lets a request go on that was paused.
    pub(super) fn resume(self) {
        // Cannot fail where it matters: on a stream that is gone.
        let _ = hostcalls::resume_http_request();
    }

    /// Enters another request's context, so that header edits and replies go to
    /// it; false if it is gone.
    pub(super) fn enter(self, context_id: u32) -> bool {
        hostcalls::set_effective_context(context_id).is_ok()
    }

    pub(super) fn reply(self, reply: &LocalReply) {
        let headers: Vec<_> =
            reply.headers.iter().map(|(name, value)| (name.as_ref(), value.as_str())).collect();
        // Nothing else can be sent; the request stays paused and never passes.
        let _ = hostcalls::send_http_response(
            u32::from(reply.status),
            headers,
            Some(&reply.body).filter(|body| !body.is_empty()).map(Vec::as_slice),
        );
    }

    /// Sends a callout; gives the token by which its reply is known.
    pub(super) fn dispatch(self, callout: &Callout) -> Result<u32, CalloutFailure> {
        let service = &callout.service;
        if self == Self::NgxWasm && !is_nginx_address(&service.upstream) {
            return Err(CalloutFailure::NotSent);
        }
        let mut headers = vec![
            (":method", callout.method),
            (":path", callout.path.as_str()),
            (":authority", service.authority.as_str()),
            (":scheme", service.scheme.as_str()),
        ];
        let own = callout.headers.iter();
        headers.extend(own.map(|(name, value)| (name.as_str(), value.expose().as_str())));
        if !headers.iter().any(|(name, _)| *name == "accept") {
            headers.push(("accept", "application/json"));
        }
        let body = callout.body.as_ref().map(|body| body.expose().as_slice());
        let timeout = u64::try_from(service.timeout.as_millis()).unwrap_or(0);
        let timeout = Duration::from_millis(timeout);
        hostcalls::dispatch_http_call(&service.upstream, headers, body, Vec::new(), timeout)
            .map_err(|_| CalloutFailure::NotSent)
    }

    /// The reply that a callback announces. A failed call has no headers; on
    /// Kong it may have some, but no `:status`.
    pub(super) fn callout_reply(
        self,
        headers: usize,
        body_bytes: usize,
        max_bytes: usize,
        wants_fields: bool,
    ) -> CalloutReply {
        let header = |name| {
            hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()
        };
        let status = (headers > 0).then(|| header(":status")).flatten();
        let status = status.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok());
        let Some(status) = status else {
            return CalloutReply::Failed(CalloutFailure::NoReply);
        };
        if body_bytes > max_bytes {
            return CalloutReply::Failed(CalloutFailure::TooLarge { limit: max_bytes });
        }
        let limit = NGX_WASM_MAX_HEADERS;
        if wants_fields && self == Self::NgxWasm && headers >= limit {
            return CalloutReply::Failed(CalloutFailure::TooManyFields { limit });
        }
        let fields = match wants_fields {
            true => abi::header_fields(MapType::HttpCallResponseHeaders),
            false => Some(Fields::default()),
        };
        let body = match body_bytes {
            0 => Ok(None),
            _ => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_bytes),
        };
        match (fields, body) {
            (Some(fields), Ok(body)) => CalloutReply::Answer(Answer {
                status,
                cache_control: self.cache_control(headers),
                fields,
                body: body.unwrap_or_default(),
            }),
            _ => CalloutReply::Failed(CalloutFailure::NoReply),
        }
    }

    /// All that a reply says of its storing. Only a whole list of its fields has
    /// the second field of a name, and only a reply that has a first one needs
    /// that list. Where it cannot be had, nothing is to be stored.
    fn cache_control(self, headers: usize) -> Option<Vec<u8>> {
        let (map, name) = (MapType::HttpCallResponseHeaders, "cache-control");
        hostcalls::get_map_value_bytes(map, name).ok().flatten()?;
        let is_listable = self == Self::Envoy || headers < NGX_WASM_MAX_HEADERS;
        let fields = if is_listable { abi::header_fields(map) } else { None };
        let values = fields.map(|fields| fields.values(name).collect::<Vec<_>>().join(&b", "[..]));
        values.or_else(|| Some(b"no-store".to_vec()))
    }

    /// The id under which the host logs the request, where that is not the
    /// header `x-request-id`.
    pub(super) fn request_id(self) -> Option<Vec<u8>> {
        let variable = |name| hostcalls::get_property(vec!["ngx", name]).ok().flatten();
        match self {
            Self::Envoy => None,
            // Kong's own, else that of any nginx.
            Self::NgxWasm => variable("kong_request_id").or_else(|| variable("request_id")),
        }
    }

    /// The client's address; on Envoy with the port.
    pub(super) fn client_address(self) -> Option<Vec<u8>> {
        hostcalls::get_property(vec!["source", "address"]).ok().flatten()
    }

    /// Whether the access log is told without being asked for: only where that
    /// is known to be cheap.
    pub(super) const fn notes_by_default(self) -> bool {
        matches!(self, Self::Envoy)
    }

    /// Whether this host's access log can be told something. To be called in a
    /// request: a root context must not ask.
    pub(super) fn takes_notes(self) -> bool {
        match self {
            Self::Envoy => true,
            // Without Kong around it the runtime has no such property, and
            // writing one that is not there would panic.
            Self::NgxWasm => {
                let version = hostcalls::get_property(vec!["kong", "version"]);
                version.is_ok_and(|version| version.is_some())
            }
        }
    }

    /// Tells the access log what it may print of the request: on Envoy as
    /// filter state `wasm.gatepass.<name>`, on Kong as
    /// `kong.ctx.shared.gatepass_<name>`. Only where it [takes
    /// notes](Self::takes_notes).
    pub(super) fn note(self, note: &AccessNote) {
        for (name, value) in note.entries() {
            // What the log may print is not worth a request.
            let _ = match self {
                Self::Envoy => abi::set_property(name, value.as_bytes()),
                Self::NgxWasm => {
                    let path = format!("kong\0ctx\0shared\0{}", name.replace('.', "_"));
                    abi::set_property(&path, value.as_bytes())
                }
            };
        }
    }

    /// The body of the request in whose callback this is called; `None` if the
    /// host cannot give it, as nginx does not when it is in a file.
    pub(super) fn request_body(self, bytes: usize) -> Option<Vec<u8>> {
        hostcalls::get_buffer(BufferType::HttpRequestBody, 0, bytes).ok().flatten()
    }

    /// Guards a request that is about to wait, where the host would let it pass
    /// should the VM trap meanwhile. Gives what [`Host::unguard`] needs.
    pub(super) fn guard(self) -> Option<Vec<u8>> {
        if self == Self::Envoy {
            return None;
        }
        let scheme = hostcalls::get_property(NGX_SCHEME.to_vec()).ok().flatten()?;
        if scheme != NGX_DENIED {
            hostcalls::set_property(NGX_SCHEME.to_vec(), Some(NGX_DENIED)).ok()?;
        }
        Some(scheme)
    }

    /// Takes the guard off a request that may pass.
    pub(super) fn unguard(self, scheme: &[u8]) -> Result<(), HostError> {
        Ok(hostcalls::set_property(NGX_SCHEME.to_vec(), Some(scheme))?)
    }
}

/// Whether ngx_wasm_module can make an address of a service's `upstream`:
/// `host`, `host:port`, `[v6]:port` or `unix:/path`. On anything else it traps,
/// and a trap ends every request that waits.
fn is_nginx_address(upstream: &str) -> bool {
    if let Some(path) = upstream.strip_prefix("unix:") {
        return path.starts_with('/') && path.len() < NGX_MAX_SOCKET_PATH;
    }
    let (host, port) = match upstream.rsplit_once(':') {
        // An IPv6 address without a port.
        _ if upstream.ends_with(']') => (upstream, None),
        Some((host, port)) => (host, Some(port)),
        None => (upstream, None),
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name_byte),
    };
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<NonZeroU16>().is_ok();
    is_host && port.is_none_or(is_port)
}

/// The path of `target`, which the route may have changed, with the query of
/// `path`.
fn with_query_of(path: &[u8], target: &[u8]) -> Vec<u8> {
    let mut changed: Vec<u8> = target.iter().copied().take_while(|byte| *byte != b'?').collect();
    changed.extend(path.iter().skip_while(|byte| **byte != b'?'));
    changed
}
