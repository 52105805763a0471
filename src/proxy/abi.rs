//! What the proxy-wasm ABI (0.2.1) has and the SDK does not give, or gives dearly.
//!
//! Calls that every request makes: the SDK makes a `String` of each header name and
//! a `Vec` of each value, which for a request with a dozen fields is a third of what
//! the filter costs when the token is known. It also panics on a name that is not
//! UTF-8, and on a map that ends early, which ngx_wasm_module gives out above 100
//! fields.
//!
//! Callouts: on Envoy a reply belongs to the root context, whichever context sent
//! the callout. The SDK keeps it for the one whose callback ran meanwhile, and
//! drops it if that is gone. So a callback of the root context is made to run.

use proxy_wasm::types::MapType;

use crate::http::{Fields, Span};

#[allow(unsafe_code, reason = "the host's functions, as the ABI declares them")]
mod host {
    use std::ptr::null_mut;

    use super::MapType;

    // Statuses are numbers here: a host may know more of them than the SDK.
    const OK: u32 = 0;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(
            map: MapType,
            return_data: *mut *mut u8,
            return_size: *mut usize,
        ) -> u32;

        fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
    }

    // The SDK's: what the host calls when a queue has something.
    unsafe extern "C" {
        safe fn proxy_on_queue_ready(context_id: u32, queue_id: u32);
    }

    pub(super) fn queue_ready(context_id: u32) {
        proxy_on_queue_ready(context_id, 0);
    }

    /// All fields of a map, serialized.
    pub(super) fn header_map_pairs(map: MapType) -> Option<Vec<u8>> {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: both pointers are to live variables, which the host fills.
        let status = unsafe { proxy_get_header_map_pairs(map, &mut data, &mut size) };
        match status {
            OK if data.is_null() => Some(Vec::new()),
            // SAFETY: the host took this memory, of this size, from
            // `proxy_on_memory_allocate`, which leaks a `Vec<u8>` for it.
            OK => Some(unsafe { Vec::from_raw_parts(data, size, size) }),
            _ => None,
        }
    }

    /// Whether the host took it.
    pub(super) fn set_property(path: &[u8], value: &[u8]) -> bool {
        // SAFETY: both slices live until the host returns, which reads them only.
        let status =
            unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
        status == OK
    }
}

/// Calls `on_queue_ready` of a root context, as the host would. Not from a callback
/// of its own, which is what the SDK lets run once at a time.
pub(super) fn call_root(context_id: u32) {
    host::queue_ready(context_id);
}

/// The fields of a map; `None` if the host gives none, or what it gives is no
/// map.
pub(super) fn header_fields(map: MapType) -> Option<Fields> {
    let bytes = host::header_map_pairs(map)?;
    if bytes.is_empty() {
        return Some(Fields::default());
    }
    let spans = spans(&bytes)?;
    Some(Fields::of(bytes, spans))
}

/// Sets a property; `path` has its segments divided by NUL.
pub(super) fn set_property(path: &str, value: &[u8]) -> bool {
    host::set_property(path.as_bytes(), value)
}

/// Where names and values are in a serialized map: the number of fields, the
/// lengths of each one's name and value, then names and values, each with a NUL
/// behind it.
fn spans(bytes: &[u8]) -> Option<Vec<Span>> {
    let (count, rest) = number(bytes)?;
    let size_of_lengths = count.checked_mul(8)?;
    let (mut lengths, _) = rest.split_at_checked(size_of_lengths)?;
    let mut spans = Vec::with_capacity(count);
    let mut at = size_of_lengths.checked_add(4)?;
    for _ in 0..count {
        let mut text = || {
            let (length, rest) = number(lengths)?;
            lengths = rest;
            let end = at.checked_add(length).filter(|end| *end < bytes.len())?;
            let span = at..end;
            at = end.checked_add(1)?;
            Some(span)
        };
        spans.push((text()?, text()?));
    }
    Some(spans)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serialized(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let size = |text: &[u8]| u32::try_from(text.len()).unwrap().to_le_bytes();
        let mut bytes = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(pairs.iter().flat_map(|(name, value)| [size(name), size(value)].concat()));
        bytes.extend(pairs.iter().flat_map(|(name, value)| [name, &[0][..], value, &[0]].concat()));
        bytes
    }

    #[test]
    fn maps_are_read_as_they_are() {
        for pairs in [
            &[][..],
            &[(&b":path"[..], &b"/"[..])],
            &[(b"a", b""), (b"", b"b"), (b"x-\xff", b"\0\xff")],
        ] {
            let bytes = serialized(pairs);
            let fields = Fields::of(bytes.clone(), spans(&bytes).unwrap());
            let found: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
            assert_eq!(found, pairs);
        }
    }

    #[test]
    fn what_ends_early_is_no_map() {
        let whole = serialized(&[(b":path", b"/"), (b"host", b"shop.example")]);
        for length in 1..whole.len() {
            assert_eq!(spans(&whole[..length]), None, "{length} bytes");
        }
        let huge = [&u32::MAX.to_le_bytes()[..], &whole[4..]].concat();
        assert_eq!(spans(&huge), None, "more fields than bytes");
        let long = [&whole[..4], &u32::MAX.to_le_bytes(), &whole[8..]].concat();
        assert_eq!(spans(&long), None, "a name longer than all");
    }
}
