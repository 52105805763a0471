//! Envoy's changes to a request before the filter sees it.
//!
//! Only what every Envoy does with HTTP/1, whatever its configuration. Effects of its
//! configuration (normalized paths, client addresses) belong into the described
//! request.

use gatepass::http::{GrpcProtocol, LocalReply, RequestHead};

/// A header field: its name in lower case.
pub type Field = (String, Vec<u8>);

/// The methods that its parser knows.
const METHODS: [&str; 34] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "M-SEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// The fields of which it keeps one: the values of several are joined.
const JOINED: [&str; 22] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "connection",
    "content-type",
    "grpc-timeout",
    "origin",
    "referer",
    "te",
    "user-agent",
    "via",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-envoy-upstream-rq-timeout-ms",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Those that are about the connection, and go no further.
const OF_THE_CONNECTION: [&str; 3] = ["keep-alive", "proxy-connection", "transfer-encoding"];

/// The request as the filter sees it, or the status with which Envoy answers it
/// by itself.
pub fn received(fields: Vec<Field>) -> Result<Vec<Field>, u16> {
    let mut kept: Vec<Field> = Vec::new();
    for (name, value) in fields {
        let earlier = JOINED
            .contains(&name.as_str())
            .then(|| kept.iter_mut().find(|(other, _)| *other == name))
            .flatten();
        match earlier {
            // Nothing is lost of an empty one, and no comma is left of it.
            Some((_, before)) if before.is_empty() || value.is_empty() => before.extend(value),
            Some((_, before)) => before.extend([&b","[..], &value].concat()),
            None => kept.push((name, value)),
        }
    }
    let method = kept.iter().find(|(name, _)| name == ":method").map(|(_, value)| value);
    if !method.is_some_and(|own| METHODS.iter().any(|known| known.as_bytes() == own)) {
        return Err(400);
    }
    split_absolute_form(&mut kept);
    if path(&kept).is_some_and(|path| path.contains(&b'#')) {
        return Err(400);
    }
    let upgrades = kept.iter().any(|(name, value)| {
        let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        name == "connection" && options.any(|option| option.eq_ignore_ascii_case(b"upgrade"))
    });
    kept.retain(|(name, value)| match name.as_str() {
        "te" => value == b"trailers",
        // Without the other there is none.
        "upgrade" => upgrades,
        "connection" => upgrades,
        // Envoy's own word.
        "x-envoy-internal" => false,
        name => !OF_THE_CONNECTION.contains(&name),
    });
    for (name, value) in [("x-forwarded-proto", "https"), ("x-request-id", "(made by Envoy)")] {
        if !kept.iter().any(|(other, _)| other == name) {
            kept.push((name.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(kept)
}

/// A target with a host in it (RFC 9112 section 3.2.2) counts before `Host`.
fn split_absolute_form(fields: &mut [Field]) {
    let Some(target) = path(fields).map(<[u8]>::to_vec) else { return };
    let rest = [&b"http://"[..], b"https://"].into_iter().find_map(|it| target.strip_prefix(it));
    let Some(rest) = rest else { return };
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or_default();
    for (name, value) in fields {
        match name.as_str() {
            ":authority" => *value = authority.to_vec(),
            ":path" if path.starts_with(b"/") => *value = path.to_vec(),
            ":path" => *value = [b"/", path].concat(),
            _ => {}
        }
    }
}

fn path(fields: &[Field]) -> Option<&[u8]> {
    fields.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.as_slice())
}

/// The reply as a client gets it: one to a gRPC call has the status 200.
pub fn sent(reply: &mut LocalReply, head: &RequestHead) {
    let is_trailers_only = reply.headers.iter().any(|(name, _)| name == "grpc-status");
    if is_trailers_only && head.grpc() == Some(GrpcProtocol::Grpc) {
        reply.status = 200;
    }
}
