//! The head of a request, as listed by the host: names and values are bytes.

use std::fmt;
use std::ops::Range;

use super::{HeaderName, folded, is_token_byte};

/// One header field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name; in lower case on Envoy, in the client's case on Kong.
    pub name: &'a [u8],
    /// The value; any bytes but CR, LF and NUL.
    pub value: &'a [u8],
}

/// The position of a field's name and value in the bytes of [`Fields`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    name: Range<usize>,
    value: Range<usize>,
    /// Of the name, once it is known.
    mark: Marks,
}

impl Span {
    /// A field at this position.
    pub const fn new(name: Range<usize>, value: Range<usize>) -> Self {
        Self { name, value, mark: Marks(0) }
    }
}

/// Header fields, in the order received.
///
/// They are in one piece of memory, as hosts deliver them: a request has a dozen, and an
/// allocation for each name and value would cost more than parsing them. `Debug` shows
/// names only, since values hold credentials.
#[derive(Clone, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Of all names.
    marks: Marks,
    /// Of names that may occur more than once.
    repeated: Marks,
}

/// A set of field names, as one bit for each: it tells names apart without comparing them,
/// as nearly all fields of a request have none of the names that a step asks for.
///
/// A name has the same bit however it is spelled, see [`super::is_spelled`]. Some names share
/// one, so what is in the set must still be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u64);

impl Marks {
    /// The mark of one name.
    pub fn of(name: &[u8]) -> Self {
        let byte = |byte: Option<&u8>| byte.map_or(0, |byte| u32::from(folded(*byte)));
        let (first, last) = (byte(name.first()), byte(name.last()));
        let length = u32::try_from(name.len()).unwrap_or_default();
        Self(1_u64.rotate_left(length.wrapping_mul(7) ^ first ^ last.rotate_left(2)))
    }

    /// The marks of several names.
    pub fn of_all<'a>(names: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let mark = |name: &HeaderName| Self::of(name.as_str().as_bytes());
        names.into_iter().map(mark).fold(Self::default(), Self::and)
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether a name may be in both.
    pub const fn meets(self, other: Self) -> bool {
        self.common(other).0 != 0
    }
}

impl Fields {
    /// The fields that `spans` mark in `bytes`; what lies outside is empty.
    pub fn of(bytes: Vec<u8>, mut spans: Vec<Span>) -> Self {
        let (mut marks, mut repeated) = (Marks::default(), Marks::default());
        for span in &mut spans {
            span.mark = Marks::of(bytes.get(span.name.clone()).unwrap_or_default());
            repeated = repeated.and(marks.common(span.mark));
            marks = marks.and(span.mark);
        }
        Self { bytes, spans, marks, repeated }
    }

    /// The number of fields.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All fields, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.spans.iter().map(|span| self.field(span))
    }

    /// The fields whose names may be among those of `marks`, and few others.
    pub fn marked(&self, marks: Marks) -> impl Iterator<Item = Field<'_>> {
        let spans = if self.marks.meets(marks) { &*self.spans } else { &[] };
        let marked = spans.iter().filter(move |span| span.mark.meets(marks));
        marked.map(|span| self.field(span))
    }

    fn field(&self, Span { name, value, .. }: &Span) -> Field<'_> {
        let slice = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        Field { name: slice(name), value: slice(value) }
    }

    /// Where the first value of `name` is.
    fn first_range(&self, name: &str) -> Option<Range<usize>> {
        let is_named = |span: &&Span| self.field(span).name.eq_ignore_ascii_case(name.as_bytes());
        self.spans.iter().find(is_named).map(|span| span.value.clone())
    }

    /// The values of the fields called `name`, ignoring case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_bytes();
        let same = move |field: &Field<'_>| {
            // Nearly always as it is.
            field.name == name || field.name.eq_ignore_ascii_case(name)
        };
        self.marked(Marks::of(name)).filter(same).map(|field| field.value)
    }

    /// The value of a field that occurs once.
    fn sole<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        let first = values.next()?;
        let is_sole = !self.repeated.meets(Marks::of(name.as_bytes())) || values.next().is_none();
        is_sole.then_some(first)
    }

    /// The first value of `name`.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Appends a field.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let mark = Marks::of(name.as_bytes());
        let name = self.append(name.as_bytes());
        let value = self.append(value);
        self.spans.push(Span { name, value, mark });
        self.repeated = self.repeated.and(self.marks.common(mark));
        self.marks = self.marks.and(mark);
    }

    /// Removes the fields called `name`, ignoring case.
    pub fn remove(&mut self, name: &str) {
        let bytes = &self.bytes;
        self.spans.retain(|span| {
            !bytes.get(span.name.clone()).unwrap_or_default().eq_ignore_ascii_case(name.as_bytes())
        });
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Fields {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(pairs: T) -> Self {
        let mut fields = Self::default();
        for (name, value) in pairs {
            fields.push(name.as_ref(), value.as_ref());
        }
        fields
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|field| String::from_utf8_lossy(field.name)))
            .finish()
    }
}

/// The protocol of a gRPC call, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcProtocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// HTTP and JSON, which a filter before this one converted to gRPC. The client gets
    /// this filter's replies as HTTP.
    Transcoded,
    /// gRPC-Web.
    Web,
    /// gRPC-Web in base64.
    WebText,
}

/// The head of a request: every header field, including pseudo-headers.
// RFC 9110 section 5.5 (R51)
#[derive(Clone, Default)]
pub struct RequestHead {
    fields: Fields,
    /// The host says that a body follows. HTTP/2 needs no field for that.
    has_body: bool,
    /// Where the path of the target is, and its query: most steps ask for them.
    path: Range<usize>,
    query: Option<Range<usize>>,
}

impl From<Fields> for RequestHead {
    fn from(fields: Fields) -> Self {
        let target = fields.first_range(":path").unwrap_or_default();
        let text = fields.bytes.get(target.clone()).unwrap_or_default();
        let mark = memchr::memchr(b'?', text).map(|at| target.start.saturating_add(at));
        let path = target.start..mark.unwrap_or(target.end);
        let query = mark.map(|mark| mark.saturating_add(1)..target.end);
        Self { fields, has_body: false, path, query }
    }
}

impl RequestHead {
    /// The head with these fields, in the order received.
    pub fn new<N: AsRef<str>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Self {
        fields.into_iter().collect::<Fields>().into()
    }

    /// The same head, with what the host knows of the body: whether one follows.
    pub const fn with_body(mut self, has_body: bool) -> Self {
        self.has_body = has_body;
        self
    }

    /// Every field, in the order received.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter()
    }

    /// The fields whose names may be among those of `marks`, and few others.
    pub fn marked(&self, marks: Marks) -> impl Iterator<Item = Field<'_>> {
        self.fields.marked(marks)
    }

    /// The values of the fields called `name`, ignoring case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.values(name)
    }

    /// The first value of `name`.
    pub fn first<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// Whether there is a field called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The value of `Content-Length`: `None` without one, or with one that is not plain
    /// digits (RFC 9110 section 8.6), which every host refuses earlier.
    pub fn content_length(&self) -> Option<usize> {
        let digits = self.first("content-length")?;
        let is_plain = digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
    }

    /// The request method; empty if the host gave none.
    pub fn method(&self) -> &[u8] {
        self.first(":method").unwrap_or_default()
    }

    /// The requested host, as the upstream will see it; `None` if it is missing, or not a
    /// host and a port (RFC 9110 section 7.2).
    pub fn authority(&self) -> Option<Authority<'_>> {
        self.sole(":authority").and_then(Authority::parse)
    }

    /// The request target: path and query; empty if the host gave none.
    // RFC 9112 section 3.2 (R50)
    pub fn target(&self) -> Target<'_> {
        let part = |range: &Range<usize>| self.fields.bytes.get(range.clone()).unwrap_or_default();
        Target { path: part(&self.path), query: self.query.as_ref().map(part) }
    }

    /// The gRPC protocol of the request, if it is a gRPC call: each has its own form of
    /// errors. Media types have no case (RFC 9110 section 8.3.1).
    pub fn grpc(&self) -> Option<GrpcProtocol> {
        const PREFIX: &[u8] = b"application/grpc";
        let (start, rest) = self.first("content-type")?.split_at_checked(PREFIX.len())?;
        let begins = |with: &[u8]| {
            rest.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        match rest {
            _ if !start.eq_ignore_ascii_case(PREFIX) => None,
            // Only Envoy's gRPC-JSON transcoder sets this field.
            [] | [b'+', ..] if self.has("x-envoy-original-method") => {
                Some(GrpcProtocol::Transcoded)
            }
            [] | [b'+', ..] => Some(GrpcProtocol::Grpc),
            _ if begins(b"-web-text") => Some(GrpcProtocol::WebText),
            _ if begins(b"-web") => Some(GrpcProtocol::Web),
            _ => None,
        }
    }

    /// True for a navigation: a GET that accepts HTML by name and was not made by a script
    /// (`Sec-Fetch-Mode`, Fetch Metadata section 2.2).
    pub fn is_navigation(&self) -> bool {
        self.method() == b"GET"
            && self.values("accept").any(accepts_html)
            && self.first("sec-fetch-mode").is_none_or(|mode| mode == b"navigate")
    }

    /// True for an upgrade of the connection, such as a WebSocket (RFC 9110 section 7.8,
    /// RFC 8441 section 4).
    // RFC 8441 section 4 (R49)
    pub fn is_upgrade(&self) -> bool {
        self.has("upgrade") || self.has(":protocol")
    }

    /// True if every server behind the gateway sees the same method.
    ///
    /// Methods are case-sensitive (RFC 9110 section 9.1), but frameworks convert them to
    /// upper case. An upgrade becomes an extended CONNECT towards HTTP/2 whatever its
    /// method, and the next proxy turns that into GET.
    pub fn has_plain_method(&self) -> bool {
        let is_capital = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_lowercase();
        let Some(method) = self.sole(":method") else { return false };
        let is_token = !method.is_empty() && method.iter().all(is_capital);
        let fits = match (self.has(":protocol"), self.has("upgrade")) {
            (true, _) => method == b"CONNECT",
            (false, true) => method == b"GET",
            (false, false) => true,
        };
        is_token && fits
    }

    /// Whether this is a CORS preflight (Fetch standard, "CORS-preflight
    /// request"): OPTIONS with an origin and a method to ask for, each once, no body and
    /// no upgrade.
    pub fn is_cors_preflight(&self) -> bool {
        let is_token = |value: &[u8]| !value.is_empty() && value.iter().copied().all(is_token_byte);
        let is_origin = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
        self.method() == b"OPTIONS"
            && !self.is_upgrade()
            && self.sole("origin").is_some_and(is_origin)
            && self.sole("access-control-request-method").is_some_and(is_token)
            && !self.may_have_body()
    }

    /// Whether a body may follow, by what the fields or the host say.
    pub fn may_have_body(&self) -> bool {
        self.has_body
            || self.values("content-length").any(|length| length != b"0")
            || self.has("transfer-encoding")
    }

    /// The value of a field that occurs once.
    fn sole<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.fields.sole(name)
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields.fmt(f)
    }
}

/// Whether an `Accept` value names HTML, at a quality above 0 (RFC 9110
/// section 12.5.1).
fn accepts_html(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|range| {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let is_html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"text/html"));
        let is_none = |part: &[u8]| {
            let quality = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
            quality.is_some_and(|value| value.iter().all(|byte| b"0.".contains(byte)))
        };
        is_html && !parts.any(is_none)
    })
}

/// A host and maybe a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host, in any case; without a trailing dot, which does not change the server.
    pub host: &'a [u8],
    /// The port, as digits.
    pub port: Option<&'a [u8]>,
}

impl<'a> Authority<'a> {
    /// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`; no user information, no
    /// escapes.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b':');
        // A colon within brackets is part of an IPv6 address.
        let end = end.filter(|end| !text.get(*end..).unwrap_or_default().contains(&b']'));
        let (host, port) = match end.and_then(|end| text.split_at_checked(end)) {
            Some((host, [_, port @ ..])) => (host, Some(port)),
            _ => (text, None),
        };
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        let is_address = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
        let is_host = match host {
            [b'[', address @ .., b']'] => address.iter().all(is_address),
            name => name.iter().all(is_name),
        };
        let host = host.strip_suffix(b".").unwrap_or(host);
        let port = port.filter(|port| !port.is_empty());
        let is_port = port.is_none_or(|port| port.iter().all(u8::is_ascii_digit));
        (is_host && is_port && !host.is_empty()).then_some(Self { host, port })
    }

    /// Parses an authority in a configuration, where a port that does not exist (0, or above
    /// 65535) is a mistake: no request could ever have it.
    pub fn configured(text: &'a [u8]) -> Option<Self> {
        let exists = |port: &[u8]| {
            let port = std::str::from_utf8(port).ok().and_then(|port| port.parse().ok());
            port.is_some_and(|port: u16| port != 0)
        };
        Self::parse(text).filter(|authority| authority.port.is_none_or(exists))
    }
}

/// A request target, split at the first `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path, as received.
    pub path: &'a [u8],
    /// The query without the `?`, if any.
    pub query: Option<&'a [u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever upstreams take for a name has its mark.
    #[test]
    fn every_spelling_has_the_same_mark() {
        for (name, spelling) in [
            ("x-consumer-id", "X_Consumer.ID"),
            ("-a-", "_a~"),
            ("a1", "A1"),
            ("\u{e9}-", "\u{ea}."),
        ] {
            assert!(super::super::is_spelled(name.as_bytes(), spelling.as_bytes()), "{spelling}");
            assert_eq!(Marks::of(name.as_bytes()), Marks::of(spelling.as_bytes()), "{spelling}");
        }
    }

    /// Whatever its case and its length, a name that is there is found.
    #[test]
    fn every_field_is_found_by_its_name() {
        let names = [
            "",
            "a",
            "A",
            ":path",
            "te",
            "x-A",
            "X-Consumer-ID",
            "x_consumer_id",
            "\u{e9}",
            "a-name-that-is-longer-than-sixty-four-bytes-and-goes-on-until-it-really-is",
        ];
        for name in names {
            let pushed: Fields = [(name, b"1")].into_iter().collect();
            let bytes = [name.as_bytes(), b"1"].concat();
            let spans = vec![Span::new(0..name.len(), name.len()..bytes.len())];
            for fields in [pushed, Fields::of(bytes, spans)] {
                for name in [name, &name.to_ascii_uppercase(), &name.to_ascii_lowercase()] {
                    assert_eq!(fields.first(name), Some(&b"1"[..]), "{name}");
                }
                assert_eq!(fields.first("another"), None);
            }
        }
    }

    #[test]
    fn debug_of_a_head_shows_no_values() {
        let head = RequestHead::new([("authorization", "Bearer s3cret")]);
        assert_eq!(format!("{head:?}"), r#"["authorization"]"#);
    }

    #[test]
    fn methods_that_everybody_reads_alike() {
        const UPGRADE: (&str, &str) = ("Upgrade", "websocket");
        const PROTOCOL: (&str, &str) = (":protocol", "websocket");
        for (case, method, fields, expected) in [
            ("a method", "GET", &[][..], true),
            ("of another name", "VERSION-CONTROL", &[], true),
            ("small letters", "get", &[], false),
            ("a small letter", "POSt", &[], false),
            ("no token", "GET ", &[], false),
            ("none", "", &[], false),
            ("not ASCII", "G\u{c9}T", &[], false),
            ("twice", "GET", &[(":method", "GET")], false),
            ("a handshake", "GET", &[UPGRADE], true),
            ("a handshake of another method", "OPTIONS", &[UPGRADE], false),
            ("an empty one", "POST", &[("upgrade", "")], false),
            ("an extended CONNECT", "CONNECT", &[PROTOCOL], true),
            ("as read by a proxy", "GET", &[PROTOCOL], false),
            ("a tunnel", "CONNECT", &[], true),
            ("a tunnel that upgrades", "CONNECT", &[UPGRADE], false),
        ] {
            let head = RequestHead::new([&[(":method", method)], fields].concat());
            assert_eq!(head.has_plain_method(), expected, "{case}");
        }
    }

    #[test]
    fn targets() {
        let target = |path: &str| {
            let head = RequestHead::new([(":path", path)]);
            let Target { path, query } = head.target();
            (path.to_vec(), query.map(<[u8]>::to_vec))
        };
        assert_eq!(target("/a?b=c?d"), (b"/a".to_vec(), Some(b"b=c?d".to_vec())));
        assert_eq!(target("/a"), (b"/a".to_vec(), None));
        assert_eq!(target(""), (vec![], None));
    }
}
