//! Header fields as the caller lends them: all bytes in one piece, and the lengths of the
//! names and values in turn.

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

/// A request that begins: four fields from the host, then its head.
pub fn begun(bytes: &[u8], sizes: &[u32]) -> Option<Begun> {
    let (known, sizes) = sizes.split_at_checked(8)?;
    let mut reader = Reader::default();
    let known = reader.spans(bytes, known)?;
    let [(_, address), (_, peer), (_, id), (_, certificate)] = known.as_slice() else {
        return None;
    };
    let value =
        |span: &std::ops::Range<usize>| bytes.get(span.clone()).unwrap_or_default().to_vec();
    let id = Some(value(id)).filter(|id| !id.is_empty());
    let fields = Fields::of(bytes.to_vec(), reader.spans(bytes, sizes)?);
    Some(Begun {
        address: value(address),
        peer: value(peer),
        certificate: value(certificate),
        id,
        fields,
    })
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
        pairs.iter().map(|[name, value]| Some((next(name)?, next(value)?))).collect()
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
        let begun = begun(b"::1::2idCERThostx", &[0, 3, 0, 3, 0, 2, 0, 4, 4, 1]).unwrap();
        assert_eq!(
            (begun.address.as_slice(), begun.id.as_deref()),
            (&b"::1"[..], Some(&b"id"[..]))
        );
        assert_eq!((begun.peer, begun.certificate), (b"::2".to_vec(), b"CERT".to_vec()));
        assert_eq!(pairs(&begun.fields), [(&b"host"[..], &b"x"[..])]);
    }

    #[test]
    fn lengths_that_do_not() {
        for sizes in [&[4, 4][..], &[8, 0], &[u32::MAX, u32::MAX], &[1]] {
            assert!(fields(b"hostxa1", sizes).is_none(), "{sizes:?}");
            assert!(begun(b"hostxa1", sizes).is_none(), "{sizes:?}");
        }
    }
}
