//! Header maps: of the request, of the response, of a reply to a callout.

use super::super::abi::{Answer, Guest, Status, Trap, encode_map};
use super::super::fake::{FakeHost, Step};
use super::super::headers::{Edit, Headers, Listing};
use super::Args;

const REQUEST: u64 = 0;
const TRAILERS: u64 = 1;
const RESPONSE: u64 = 2;
const CALL_RESPONSE: u64 = 6;

/// The map to read, if there is one now.
fn readable(host: &mut FakeHost, map: u64) -> Result<Option<&Headers>, Trap> {
    if host.is_kong() && matches!(map, REQUEST | RESPONSE) && !host.in_request() {
        return Err(host.worker_crash("request headers read in a root context"));
    }
    let kong = host.is_kong();
    let logging = host.step == Step::Log;
    Ok(match map {
        REQUEST => host
            .stream()
            // Envoy lets go of the map when the request goes on.
            .filter(|stream| kong || logging || stream.undecided())
            .map(|stream| &stream.headers),
        TRAILERS if host.step == Step::RequestTrailers => {
            host.stream().and_then(|stream| stream.trailers.as_ref())
        }
        RESPONSE => host.stream().and_then(|stream| stream.response.as_ref()),
        CALL_RESPONSE => host.reply.as_ref().and_then(|reply| reply.headers.as_ref()),
        _ => None,
    })
}

pub fn list(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    if args[0] == CALL_RESPONSE && host.reply.as_ref().is_some_and(|reply| reply.headers.is_none())
    {
        host.violate("the headers of a failed callout were listed (num_headers was 0)");
    }
    let kong = host.is_kong();
    let bytes = match readable(host, args[0])?.map(Headers::listing) {
        None => return Ok(Status::BadArgument),
        Some(Listing::Whole(pairs)) if pairs.is_empty() && !kong => {
            guest.give_null(args[1], args[2])?;
            return Ok(Status::Ok);
        }
        Some(Listing::Whole(pairs)) => encode_map(&pairs),
        Some(Listing::Malformed(pairs)) => {
            let mut bytes = encode_map(&pairs);
            bytes.truncate(bytes.len().saturating_sub(16));
            bytes
        }
    };
    guest.give(&bytes, args[1], args[2])?;
    Ok(Status::Ok)
}

pub fn get(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let name = guest.text(args[1], args[2])?;
    let kong = host.is_kong();
    let value = match readable(host, args[0])? {
        None if kong => return Ok(Status::NotFound),
        None => return Ok(Status::BadArgument),
        Some(headers) => headers.first(&name).map(<[u8]>::to_vec),
    };
    match value {
        None => return Ok(Status::NotFound),
        Some(value) if value.is_empty() && !kong => guest.give_null(args[3], args[4])?,
        Some(value) => guest.give(&value, args[3], args[4])?,
    }
    Ok(Status::Ok)
}

/// The map to edit, or the host's refusal.
fn writable(host: &mut FakeHost, map: u64) -> Result<Result<&mut Headers, Status>, Trap> {
    let kong = host.is_kong();
    let step = host.step;
    if kong && !host.in_request() {
        return Err(host.worker_crash("headers edited in a root context"));
    }
    let Some(stream) = host.stream() else {
        return Ok(Err(Status::BadArgument));
    };
    match map {
        REQUEST if stream.undecided() => Ok(Ok(&mut stream.headers)),
        REQUEST if kong => {
            Err(Trap::new("can only set request headers before response is produced"))
        }
        TRAILERS if step == Step::RequestTrailers => {
            Ok(stream.trailers.as_mut().ok_or(Status::BadArgument))
        }
        RESPONSE if step == Step::ResponseHeaders => {
            Ok(stream.response.as_mut().ok_or(Status::BadArgument))
        }
        RESPONSE if kong => {
            Err(Trap::new("the fake host models response headers only in on_http_response_headers"))
        }
        _ => Ok(Err(Status::BadArgument)),
    }
}

fn edit(
    host: &mut FakeHost,
    map: u64,
    name: &str,
    value: Option<&[u8]>,
    how: impl FnOnce(&mut Headers) -> Edit,
) -> Answer {
    host.examine(name, value.unwrap_or_default());
    match writable(host, map)? {
        Err(status) => Ok(status),
        Ok(headers) => {
            if how(headers) == Edit::ReadOnly {
                host.violate(format!("{name} is read-only on Kong"));
            }
            Ok(Status::Ok)
        }
    }
}

pub fn add(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let (name, value) = (guest.text(args[1], args[2])?, guest.read(args[3], args[4])?);
    edit(host, args[0], &name, Some(&value), |headers| headers.add(&name, &value))
}

pub fn replace(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let (name, value) = (guest.text(args[1], args[2])?, guest.read(args[3], args[4])?);
    edit(host, args[0], &name, Some(&value), |headers| headers.replace(&name, &value))
}

pub fn remove(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let name = guest.text(args[1], args[2])?;
    edit(host, args[0], &name, None, |headers| headers.remove(&name))
}

impl FakeHost {
    /// What a filter must never send, whatever a host makes of it.
    ///
    /// Envoy asserts (in debug builds) and Kong percent-escapes; a filter that
    /// lets a line break through has been talked into header injection.
    pub fn examine(&mut self, name: &str, value: &[u8]) {
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            self.violate(format!("the value of header {name:?} has a line break or NUL"));
        }
        let plain = name.strip_prefix(':').unwrap_or(name);
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if plain.is_empty() || !plain.bytes().all(token) {
            self.violate(format!("{name:?} is no header name"));
        }
    }
}
