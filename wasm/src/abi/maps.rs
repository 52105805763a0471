//! The serialization of header maps: the number of fields, the lengths of each name and
//! value, then names and values, each followed by a NUL.
//!
//! A map is parsed in place. A truncated one, as ngx_wasm_module returns for more than
//! 100 fields, is an error.

use gatepass::http::Span;

use super::Status;

/// The serialized form of a map. Fails for a text of more than 4 GiB.
pub(super) fn serialized(fields: &[(&str, &str)]) -> Result<Vec<u8>, Status> {
    let size = |length: usize| {
        let length = u32::try_from(length).map_err(|_| Status::SERIALIZATION_FAILURE)?;
        Ok(length.to_le_bytes())
    };
    let mut bytes = Vec::with_capacity(1024);
    bytes.extend(size(fields.len())?);
    for (name, value) in fields {
        bytes.extend(size(name.len())?);
        bytes.extend(size(value.len())?);
    }
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Ok(bytes)
}

/// The positions of names and values in a serialized map.
pub(super) fn spans(bytes: &[u8]) -> Option<Vec<Span>> {
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
        spans.push(Span::new(text()?, text()?));
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
    use gatepass::http::Fields;

    /// As written by a host: values are any bytes.
    fn of_host(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
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
            let bytes = of_host(pairs);
            let fields = Fields::of(bytes.clone(), spans(&bytes).unwrap());
            let found: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
            assert_eq!(found, pairs);
        }
    }

    #[test]
    fn what_ends_early_is_no_map() {
        let whole = of_host(&[(b":path", b"/"), (b"host", b"shop.example")]);
        for length in 1..whole.len() {
            assert_eq!(spans(&whole[..length]), None, "{length} bytes");
        }
        let huge = [&u32::MAX.to_le_bytes()[..], &whole[4..]].concat();
        assert_eq!(spans(&huge), None, "more fields than bytes");
        let long = [&whole[..4], &u32::MAX.to_le_bytes(), &whole[8..]].concat();
        assert_eq!(spans(&long), None, "a name longer than all");
    }

    #[test]
    fn maps_are_written_as_hosts_do() {
        for pairs in [&[][..], &[(":path", "/")], &[("a", ""), ("x-b", "1 2"), ("a", "3")]] {
            let bytes: Vec<_> =
                pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            assert_eq!(serialized(pairs), Ok(of_host(&bytes)));
        }
    }
}
