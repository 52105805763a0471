//! Header fields as the caller lends them: those of a request where nginx has them, those
//! of a reply as all bytes in one piece, and the lengths of the names and values in turn.

use std::ops::Range;

use gatepass::http::{Fields, Span};

/// What the host knows about a request, and its head.
pub struct Begun {
    /// The client's address.
    pub address: Vec<u8>,
    /// The address of the connection.
    pub peer: Vec<u8>,
    /// The client's certificate in PEM, which the host verified.
    pub certificate: Vec<u8>,
    /// The id under which the host logs the request.
    pub id: Option<Vec<u8>>,
    /// The head.
    pub fields: Fields,
}

/// What the caller lends of a request beside its header fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    pub address: &'a [u8],
    pub peer: &'a [u8],
    pub id: &'a [u8],
    pub certificate: &'a [u8],
    pub method: &'a [u8],
    pub target: &'a [u8],
    pub scheme: &'a [u8],
}

/// A request that begins; `headers` are its header fields.
pub fn begun(known: &Known<'_>, headers: &[(&[u8], &[u8])]) -> Begun {
    let named = |(name, _): &&(&[u8], &[u8])| name.eq_ignore_ascii_case(b"host");
    // nginx denies a request with two.
    let authority = headers.iter().find(named).map(|(_, value)| (&b":authority"[..], *value));
    let pseudo = [(&b":method"[..], known.method), (b":path", known.target)];
    let pseudo = pseudo.into_iter().chain(authority).chain([(&b":scheme"[..], known.scheme)]);
    let all = || pseudo.clone().chain(headers.iter().copied());
    let size = all().map(|(name, value)| name.len().saturating_add(value.len()));
    let mut bytes = Vec::with_capacity(size.fold(0, usize::saturating_add));
    let mut spans = Vec::with_capacity(headers.len().saturating_add(4));
    for (name, value) in all() {
        spans.push(Span::new(append(&mut bytes, name), append(&mut bytes, value)));
    }
    Begun {
        address: known.address.to_vec(),
        peer: known.peer.to_vec(),
        certificate: known.certificate.to_vec(),
        id: Some(known.id.to_vec()).filter(|id| !id.is_empty()),
        fields: Fields::of(bytes, spans),
    }
}

fn append(bytes: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(text);
    start..bytes.len()
}

/// The fields, copied; `None` if the lengths exceed the bytes, which is a bug of the
/// caller.
pub fn fields(bytes: &[u8], sizes: &[u32]) -> Option<Fields> {
    Some(Fields::of(bytes.to_vec(), Reader::default().spans(bytes, sizes)?))
}

/// A position in the bytes.
#[derive(Default)]
struct Reader(usize);

impl Reader {
    fn spans(&mut self, bytes: &[u8], sizes: &[u32]) -> Option<Vec<Span>> {
        let (pairs, []) = sizes.as_chunks::<2>() else { return None };
        let mut next = |size: &u32| {
            let end = self.0.checked_add(usize::try_from(*size).ok()?)?;
            let range = self.0..end;
            self.0 = end;
            (end <= bytes.len()).then_some(range)
        };
        pairs.iter().map(|[name, value]| Some(Span::new(next(name)?, next(value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(fields: &Fields) -> Vec<(&[u8], &[u8])> {
        fields.iter().map(|field| (field.name, field.value)).collect()
    }

    #[test]
    fn lengths_that_fit() {
        let fields = fields(b"hostxa1", &[4, 1, 1, 1, 0, 0]).unwrap();
        assert_eq!(pairs(&fields), [(&b"host"[..], &b"x"[..]), (b"a", b"1"), (b"", b"")]);
    }

    #[test]
    fn a_request_that_begins() {
        let known = Known {
            address: b"::1",
            peer: b"::2",
            id: b"id",
            certificate: b"CERT",
            method: b"GET",
            target: b"/",
            scheme: b"http",
        };
        let headers = [(&b"a"[..], &b"1"[..]), (b"Host", b"x"), (b"a", b""), (b"host", b"y")];
        let begun = begun(&known, &headers);
        assert_eq!(
            (begun.address.as_slice(), begun.id.as_deref()),
            (&b"::1"[..], Some(&b"id"[..]))
        );
        assert_eq!((begun.peer, begun.certificate), (b"::2".to_vec(), b"CERT".to_vec()));
        let pseudo = [
            (&b":method"[..], &b"GET"[..]),
            (b":path", b"/"),
            (b":authority", b"x"),
            (b":scheme", b"http"),
        ];
        assert_eq!(pairs(&begun.fields), [&pseudo[..], &headers[..]].concat());
    }

    #[test]
    fn a_request_of_which_nothing_is_known() {
        let begun = begun(&Known::default(), &[]);
        assert_eq!(begun.id, None);
        let empty = &b""[..];
        let pseudo = [(&b":method"[..], empty), (b":path", empty), (b":scheme", empty)];
        assert_eq!(pairs(&begun.fields), pseudo);
    }

    #[test]
    fn lengths_that_do_not() {
        for sizes in [&[4, 4][..], &[8, 0], &[u32::MAX, u32::MAX], &[1]] {
            assert!(fields(b"hostxa1", sizes).is_none(), "{sizes:?}");
        }
    }
}
