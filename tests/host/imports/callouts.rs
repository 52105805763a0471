//! Callouts, local responses and resuming: what ends or suspends a request.

use super::super::abi::{Answer, Guest, Pairs, Status, Trap, decode_map};
use super::super::exchange::{Call, Response};
use super::super::fake::{FakeHost, Pending, Step};
use super::Args;

const HTTP_REQUEST: u64 = 0;

pub fn dispatch(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let headers = decode_map(&guest.read(args[2], args[3])?);
    let call = Call {
        upstream: guest.text(args[0], args[1])?,
        headers: headers.ok_or_else(|| Trap::new("the callout's headers are malformed"))?,
        body: guest.read(args[4], args[5])?,
        timeout_ms: args[8] as u32,
    };
    for (name, value) in &call.headers {
        host.examine(name, value);
    }
    host.keep_secrets_of(&call.headers);
    if host.is_kong() {
        kong_accepts(host.step, &call)?;
    } else if !envoy_accepts(host, &call) {
        return Ok(Status::BadArgument);
    }
    let sender = host.context();
    let stream = host.streams.get(&sender);
    // To Envoy all callouts are the root context's.
    let owner = match stream {
        Some(stream) if !host.is_kong() => stream.root,
        _ => sender,
    };
    if !host.is_root(sender) && !stream.is_some_and(|stream| stream.undecided()) {
        host.violate("a callout was dispatched for a request that is over");
    }
    let token = host.next_token;
    host.next_token += 1;
    // Kong takes 0 as its default of 60 s; Envoy as no timeout at all.
    let wait_ms = if call.timeout_ms == 0 { 60_000 } else { call.timeout_ms };
    let deadline_ns = host.now_ns + u64::from(wait_ms) * 1_000_000;
    if !call.body.is_empty() {
        host.with_body.insert(token);
    }
    host.pending.insert(token, Pending { token, owner, sender, call, deadline_ns });
    guest.write_u32(args[9], token)?;
    Ok(Status::Ok)
}

fn envoy_accepts(host: &FakeHost, call: &Call) -> bool {
    let has = |name: &str| call.header(name).is_some_and(|value| !value.is_empty());
    host.clusters.contains(&call.upstream)
        && [":method", ":path", ":authority"].into_iter().all(has)
}

fn kong_accepts(step: Step, call: &Call) -> Result<(), Trap> {
    let may_send =
        [Step::RequestHeaders, Step::RequestBody, Step::CallResponse, Step::Tick].contains(&step);
    if !may_send {
        return Err(Trap::new(format!(
            "can only send HTTP dispatch during request steps, calls and ticks, not {step:?}"
        )));
    }
    for name in [":method", ":path"] {
        if call.header(name).is_none_or(|value| value.is_empty()) {
            return Err(Trap::new(format!("dispatch failed: no {name}")));
        }
    }
    if nginx_accepts(&call.upstream) {
        Ok(())
    } else {
        Err(Trap::new(format!("dispatch failed: bad host {:?}", call.upstream)))
    }
}

/// The size of `sun_path`.
const SUN_PATH: usize = 108;

/// `host[:port]`, `[v6]:port` or `unix:/path`; anything else is a trap.
///
/// An Envoy cluster name is a host like any other here: it fails in DNS, later.
fn nginx_accepts(upstream: &str) -> bool {
    if let Some(path) = upstream.strip_prefix("unix:") {
        return path.starts_with('/') && path.len() < SUN_PATH;
    }
    let (host, port) = match upstream.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, _)) if host.parse::<std::net::Ipv6Addr>().is_err() => return false,
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
            None => return false,
        },
        None => match upstream.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (upstream, None),
        },
    };
    let host_fits = !host.is_empty() && !host.contains(['/', '?', ' ', '\0']);
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    host_fits && port.is_none_or(is_port)
}

pub fn send_local_response(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let headers = decode_map(&guest.read(args[5], args[6])?);
    let headers = headers.ok_or_else(|| Trap::new("the response's headers are malformed"))?;
    let mut body = guest.read(args[3], args[4])?;
    let grpc_status = Some(args[7] as u32 as i32).filter(|status| *status >= 0);
    let kong = host.is_kong();
    for (name, value) in &headers {
        host.examine(name, value);
    }
    let status = u16::try_from(args[0]).ok().filter(|status| (200..600).contains(status));
    let Some(status) = status else {
        host.violate(format!("{} is no status for a local response", args[0]));
        return Ok(Status::BadArgument);
    };
    if kong && grpc_status.is_some() {
        host.violate("Kong's runtime sends no gRPC status");
    }
    if kong && !host.in_request() {
        return Err(host.worker_crash("a local response from a root context"));
    }
    if !body.is_empty() && host.reply.as_ref().is_some_and(|reply| reply.loses_bodies) {
        host.violate("nginx closes the connection: a local response with a body is lost here");
    }
    let context = host.context();
    let Some(stream) = host.stream() else {
        host.violate("a local response without a request");
        return Ok(Status::BadArgument);
    };
    if stream.local_response.is_some() {
        if kong {
            return Err(Trap::new("local response already stashed"));
        }
        host.violate("a second local response was sent (Envoy ignores it)");
        return Ok(Status::Ok);
    }
    if !stream.undecided() {
        if kong {
            return Err(Trap::new("response already sent"));
        }
        host.violate("a local response after the request went on");
        return Ok(Status::Ok);
    }
    let headers = if kong { last_of_each(headers) } else { envoy_headers(headers, &body) };
    if kong && !body.is_empty() {
        body.push(b'\n');
    }
    stream.local_response = Some(Response { status, headers, body, grpc_status });
    host.cancel_callouts(context);
    Ok(Status::Ok)
}

/// nginx keeps one header per name, so there is only one WWW-Authenticate.
fn last_of_each(headers: Pairs) -> Pairs {
    let mut kept = Pairs::new();
    for (name, value) in headers {
        kept.retain(|(old, _)| !old.eq_ignore_ascii_case(&name));
        kept.push((name, value));
    }
    kept
}

pub fn envoy_headers(headers: Pairs, body: &[u8]) -> Pairs {
    let mut headers: Pairs =
        headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    if !body.is_empty() && !headers.iter().any(|(name, _)| name == "content-type") {
        headers.push(("content-type".to_owned(), b"text/plain".to_vec()));
    }
    headers
}

pub fn continue_stream(host: &mut FakeHost, args: Args<'_>) -> Answer {
    if args[0] != HTTP_REQUEST {
        host.violate(format!("stream type {} was continued; only requests wait here", args[0]));
        return Ok(Status::InternalFailure);
    }
    if host.is_kong() && !host.in_request() {
        return Err(host.worker_crash("a request resumed from a root context"));
    }
    let kong = host.is_kong();
    let Some(stream) = host.stream() else {
        host.violate("continue without a request");
        return Ok(Status::BadArgument);
    };
    let again = stream.resumed || !stream.undecided();
    stream.resumed = true;
    if again && !kong {
        host.violate("a request was resumed that is not waiting");
    }
    Ok(Status::Ok)
}
