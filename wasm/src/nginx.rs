//! Special handling for nginx with ngx_wasm_module: variables instead of headers, and
//! checks of addresses.
//!
//! Properties are read in requests only: in a root context some of them crash the worker.

use std::cell::Cell;
use std::net::Ipv6Addr;
use std::num::NonZeroU16;

use gatepass::http::Fields;

use crate::abi::{self, Status};

/// The nginx variable that guards a suspended request: with this value nginx answers
/// 500 if the request continues by itself.
const SCHEME: &str = "ngx\0upstream_scheme";
const DENIED: &[u8] = b"denied";

const UPSTREAM_URI: &str = "ngx\0upstream_uri";

/// The length of `sun_path` on Linux.
const MAX_SOCKET_PATH: usize = 108;

/// Replaces `:path` with the request target as received. ngx_wasm_module returns it
/// decoded and with its dot segments resolved, so rules would be matched against another
/// path than the upstream gets.
///
/// The query is the one that goes upstream: other plugins may have changed it, and a
/// token must be removed from their version.
pub(crate) fn restore_path(fields: &mut Fields) -> Result<(), Status> {
    if fields.first(":path").is_none() {
        return Ok(());
    }
    let raw = abi::property("request\0path")?.ok_or(Status::NOT_FOUND)?;
    let query = abi::property("ngx\0args")?.unwrap_or_default();
    let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
    let path = with_query_of(&[mark, &query].concat(), &raw);
    fields.remove(":path");
    fields.push(":path", &path);
    Ok(())
}

/// Replaces `:authority`, which is the name of the nginx server, with `Host`, which the
/// client requested.
pub(crate) fn restore_authority(fields: &mut Fields) {
    let hosts: Vec<Vec<u8>> = fields.values("host").map(<[u8]>::to_vec).collect();
    fields.remove(":authority");
    for host in hosts {
        fields.push(":authority", &host);
    }
}

/// Adds the length of a body that HTTP/2 needs no field for and that was read before, as by
/// another plugin. A preflight has none, and a length that is set later does not keep nginx
/// from sending it.
pub(crate) fn restore_length(fields: &mut Fields) -> Result<(), Status> {
    let is_options = fields.first(":method") == Some(b"OPTIONS");
    if is_options
        && fields.first("content-length").is_none()
        && let Some(length) = abi::property("ngx\0content_length")?
    {
        fields.push("content-length", &length);
    }
    Ok(())
}

/// Sets the query for the upstream to that of `path`.
pub(crate) fn set_upstream_path(path: &[u8]) -> Result<(), Status> {
    let target = abi::property(UPSTREAM_URI)?.ok_or(Status::NOT_FOUND)?;
    abi::set_property(UPSTREAM_URI, &with_query_of(path, &target))
}

/// Makes nginx answer the request with 500, and returns the value that undoes it; `None`
/// where nginx lacks the variable. Kong's always has it; a host that gives no property at
/// all may be Kong's.
pub(crate) fn deny_upstream() -> Result<Option<Vec<u8>>, Status> {
    let Some(scheme) = abi::property(SCHEME)? else {
        return if is_kong() || !is_nginx() { Err(Status::NOT_FOUND) } else { Ok(None) };
    };
    // Checked while it still can be: a variable missing later is then a failure.
    let _ = is_kong();
    if scheme != DENIED {
        abi::set_property(SCHEME, DENIED)?;
    }
    Ok(Some(scheme))
}

/// As [`deny_upstream`], of a request that will never pass: nothing has to be read first.
pub(crate) fn deny_for_good() -> Result<(), Status> {
    abi::set_property(SCHEME, DENIED)
}

/// Undoes [`deny_upstream`].
pub(crate) fn restore_scheme(scheme: &[u8]) -> Result<(), Status> {
    abi::set_property(SCHEME, scheme)
}

/// True if the runtime is part of Kong. Once detected, this stays true whatever the host
/// reports later: a request that cannot be guarded there must not wait.
pub(crate) fn is_kong() -> bool {
    thread_local! {
        static SEEN: Cell<bool> = const { Cell::new(false) };
    }
    let is_kong = SEEN.get() || matches!(abi::property("kong\0version"), Ok(Some(_)));
    SEEN.set(is_kong);
    is_kong
}

/// True if this is nginx: it has an id for each request.
pub(crate) fn is_nginx() -> bool {
    matches!(abi::property("ngx\0request_id"), Ok(Some(_)))
}

/// True if Kong's configuration has a zone for shared data; without one any access
/// traps. Without Kong it cannot be checked, and the operator is trusted.
pub(crate) fn has_zone() -> bool {
    let is_set = |path| matches!(abi::property(path), Ok(Some(_)));
    !is_kong()
        || is_set("kong\0configuration\0nginx_wasm_shm_kv")
        || is_set("kong\0configuration\0nginx_wasm_shm_kv_gatepass")
}

/// The largest value that a zone of shared data has room for, if nobody says how large it is.
const USUAL: usize = 2 << 20;

/// The largest value of shared data.
pub(crate) fn max_shared_bytes() -> usize {
    let zone = [
        "kong\0configuration\0nginx_wasm_shm_kv_gatepass",
        "kong\0configuration\0nginx_wasm_shm_kv",
    ]
    .iter()
    .find_map(|path| abi::property(path).ok().flatten());
    zone.as_deref().and_then(bytes_of_zone).map_or(USUAL, max_value_of)
}

/// The largest value for a zone of this size. A full zone forgets old values, and a list of
/// revocations is up to three of them at a time: what moves to the other, and each anew.
/// The rest of the zone is for all else, which with DPoP is 16 MiB.
fn max_value_of(zone: usize) -> usize {
    const ALL_ELSE: usize = 16 << 20;
    (zone / 6).min(USUAL).max(zone.saturating_sub(ALL_ELSE) / 6)
}

/// The size of a zone, as in `12m` or `12m eviction=lru`.
fn bytes_of_zone(text: &[u8]) -> Option<usize> {
    let text = str::from_utf8(text).ok()?.split_ascii_whitespace().next()?;
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    let unit = match text.as_bytes().last()? {
        b'k' | b'K' => 1 << 10,
        b'm' | b'M' => 1 << 20,
        _ => 1,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// True if ngx_wasm_module can parse a service's `upstream`: `host`, `host:port`,
/// `[v6]:port` or `unix:/path`. On anything else it traps, and a trap ends every
/// request that waits.
pub(crate) fn is_address(upstream: &str) -> bool {
    if let Some(path) = upstream.strip_prefix("unix:") {
        return path.starts_with('/') && path.len() < MAX_SOCKET_PATH;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_holds_three_lists_and_all_else() {
        const MIB: usize = 1 << 20;
        for (zone, expected) in [
            ("60k", 10 << 10),
            ("60K eviction=lru", 10 << 10),
            ("6291456", MIB),
            ("12m", 2 * MIB),
            ("16M", 2 * MIB),
            ("28m", 2 * MIB),
            ("34m", 3 * MIB),
            ("64m eviction=slru", 8 * MIB),
            ("0", 0),
        ] {
            let bytes = bytes_of_zone(zone.as_bytes());
            assert_eq!(bytes.map(max_value_of), Some(expected), "{zone}");
        }
        for odd in ["", " ", "m", "12g", "-1m", "12mm2", "99999999999999999999k"] {
            assert_eq!(bytes_of_zone(odd.as_bytes()), None, "{odd:?}");
        }
        assert_eq!(bytes_of_zone(b"\xff"), None);
    }
}
