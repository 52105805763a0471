//! Properties: how a filter learns which host it is in.

use std::collections::BTreeMap;

use super::super::abi::{Answer, Guest, Status};
use super::super::fake::{FakeHost, Profile, Stream};
use super::Args;

/// A path of NUL-separated parts, as the dots everybody writes it with.
fn dotted(path: &[u8]) -> String {
    String::from_utf8_lossy(path).replace('\0', ".")
}

pub fn get(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let path = dotted(&guest.read(args[0], args[1])?);
    let value = match host.profile {
        Profile::Envoy => envoy(host, &path),
        Profile::Kong if !host.in_request() => {
            if crashes_in_root(&path) {
                return Err(host.worker_crash(&format!("property {path} read in a root context")));
            }
            if mapped(&path) {
                return Ok(Status::InternalFailure);
            }
            None
        }
        Profile::Kong => kong(host, &path),
    };
    match value {
        None => Ok(Status::NotFound),
        Some(value) => {
            guest.give(&value, args[2], args[3])?;
            Ok(Status::Ok)
        }
    }
}

pub fn set(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let path = dotted(&guest.read(args[0], args[1])?);
    let value = guest.read(args[2], args[3])?;
    let kong = host.is_kong();
    if kong && !host.in_request() {
        let known = path.starts_with("ngx.") || path.starts_with("kong.") || mapped(&path);
        return Ok(if known { Status::InternalFailure } else { Status::NotFound });
    }
    if host.is_plain && is_kongs(&path) {
        return Ok(Status::NotFound);
    }
    if kong && !path.starts_with("kong.ctx.shared.") && !KONG_WRITABLE.contains(&path.as_str()) {
        let readable = kong_value(host, &path).is_some();
        return Ok(if readable { Status::InternalFailure } else { Status::NotFound });
    }
    // nginx writes it into the request line as it is.
    if path == "ngx.upstream_uri" && value.iter().any(|byte| *byte <= b' ' || *byte == 0x7F) {
        host.violate("ngx.upstream_uri would break the request line");
    }
    match host.stream() {
        Some(stream) => stream.properties.insert(path, value),
        None => host.properties.insert(path, value),
    };
    Ok(Status::Ok)
}

fn envoy(host: &mut FakeHost, path: &str) -> Option<Vec<u8>> {
    let own = host.stream().and_then(|stream| stream.properties.get(path).cloned());
    own.or_else(|| host.properties.get(path).cloned()).or_else(|| match path {
        // A serialised protobuf; only its presence means something here.
        "xds.node" => Some(b"\x0a\x05envoy".to_vec()),
        _ => None,
    })
}

fn kong(host: &mut FakeHost, path: &str) -> Option<Vec<u8>> {
    kong_value(host, path)
}

fn kong_value(host: &mut FakeHost, path: &str) -> Option<Vec<u8>> {
    if host.is_plain && is_kongs(path) {
        return None;
    }
    let context = host.context();
    let everywhere = host.properties.get(path).cloned();
    let zone = host.shared.zone;
    let stream: &mut Stream = host.stream()?;
    if let Some(own) = stream.properties.get(path) {
        return Some(own.clone());
    }
    let header = |name: &str| stream.headers.first(name).map(<[u8]>::to_vec);
    everywhere.or_else(|| match path {
        "kong.version" => Some(b"3.9.3".to_vec()),
        "kong.configuration.nginx_wasm_shm_kv" => zone.then(|| b"12m".to_vec()),
        "ngx.request_id" | "ngx.kong_request_id" => Some(format!("{context:032x}").into_bytes()),
        "request.path" | "ngx.request_uri" => Some(stream.raw_path.clone()),
        // Of the raw target, as long as no other plugin changes it; nginx cuts
        // it off at a fragment and has no value for an empty one.
        "ngx.args" => {
            let query = stream.raw_path.splitn(2, |byte| *byte == b'?').nth(1)?;
            let query = query.split(|byte| *byte == b'#').next()?;
            (!query.is_empty()).then(|| query.to_vec())
        }
        "request.method" | "ngx.request_method" => header(":method"),
        "request.scheme" | "ngx.scheme" => header(":scheme"),
        "request.id" => header("x-request-id"),
        "source.address" => Some(b"127.0.0.1:40000".to_vec()),
        "ngx.remote_addr" | "ngx.realip_remote_addr" => Some(b"127.0.0.1".to_vec()),
        _ => path.strip_prefix("request.headers.").and_then(header),
    })
}

/// Whether only an nginx of Kong's has it.
fn is_kongs(path: &str) -> bool {
    path.starts_with("kong.") || path == "ngx.kong_request_id" || KONG_WRITABLE.contains(&path)
}

/// Variables of Kong's nginx template that have a setter or are `set`.
const KONG_WRITABLE: &[&str] = &["ngx.upstream_scheme", "ngx.upstream_uri", "ngx.upstream_host"];

/// The values every request starts with on Kong.
pub fn kong_defaults(stream: &mut Stream, set: &BTreeMap<String, Vec<u8>>) {
    let defaults = [("ngx.upstream_scheme", "http"), ("ngx.upstream_host", "upstream.example")];
    for (name, value) in defaults {
        stream.properties.insert(name.to_owned(), value.as_bytes().to_vec());
    }
    stream.properties.insert("ngx.upstream_uri".to_owned(), stream.raw_path.clone());
    let chosen = set.iter().filter(|(name, _)| KONG_WRITABLE.contains(&name.as_str()));
    stream.properties.extend(chosen.map(|(name, value)| (name.clone(), value.clone())));
}

fn mapped(path: &str) -> bool {
    let prefixes = ["request.", "response.", "connection.", "source.", "ngx.", "kong."];
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// Getters that follow a null request pointer; nginx restarts the worker into
/// the same crash.
fn crashes_in_root(path: &str) -> bool {
    const FATAL: &[&str] =
        &["connection.id", "plugin_name", "plugin_root_id", "request.id", "request.time"];
    FATAL.contains(&path)
        || ["request.headers.", "upstream."].iter().any(|prefix| path.starts_with(prefix))
}
