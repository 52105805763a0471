//! The header fields that the gateway sets upstream.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::HeaderName;

/// Header fields to set upstream; each replaces every field of its name.
#[derive(Debug, Default)]
pub struct SetFields {
    kept: KeptFields,
    /// The first value, if it is kept in two parts.
    first: Vec<u8>,
}

/// Such fields in little memory: a gateway remembers them for each of its tokens.
///
/// The values are in one piece of memory, and what others have too is shared: the names,
/// and the start of the first value, which is that of the JOSE header of an identity token.
#[derive(Clone, Default)]
pub struct KeptFields(Option<Kept>);

#[derive(Clone)]
struct Kept {
    layout: Rc<Layout>,
    /// Each value after its [length](add_length).
    values: Rc<[u8]>,
}

/// What many identities have in common.
#[derive(Default)]
pub(crate) struct Layout {
    names: Vec<HeaderName>,
    /// The start of the first value.
    start: Vec<u8>,
    /// Memory to put a first value together in, while no request uses it.
    spare: Cell<Vec<u8>>,
}

/// Fields that are being collected.
#[derive(Debug, Default)]
pub(crate) struct NewFields {
    names: Vec<HeaderName>,
    /// As they are kept.
    values: Vec<u8>,
    /// The size of names and values.
    bytes: usize,
}

/// Adds a length: seven bits in a byte, the lowest first, and the eighth bit if more follow.
fn add_length(values: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        values.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    values.push(length.to_le_bytes()[0]);
}

/// The first value of such, and what follows it.
fn split_value(values: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift, mut rest) = (0_usize, 0, values);
    loop {
        let byte;
        (byte, rest) = rest.split_first()?;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return rest.split_at_checked(length);
        }
        shift = shift.checked_add(7)?;
    }
}

impl SetFields {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let is_joined = |position: usize| position == 0 && !self.first.is_empty();
        let kept = self.kept.iter().enumerate();
        kept.map(move |(position, (name, value))| {
            (name, if is_joined(position) { self.first.as_slice() } else { value })
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.0.as_ref().map_or(0, |kept| kept.layout.names.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for SetFields {
    /// Leaves its memory to the next request.
    fn drop(&mut self) {
        if let Some(kept) = self.kept.0.as_ref().filter(|_| !self.first.is_empty()) {
            kept.layout.spare.set(std::mem::take(&mut self.first));
        }
    }
}

impl KeptFields {
    /// The fields, whole.
    pub(crate) fn open(&self) -> SetFields {
        let mut first = Vec::new();
        if let Some(Kept { layout, .. }) = &self.0
            && !layout.start.is_empty()
            && let Some((_, rest)) = self.iter().next()
        {
            first = layout.spare.take();
            first.clear();
            first.extend_from_slice(&layout.start);
            first.extend_from_slice(rest);
        }
        SetFields { kept: self.clone(), first }
    }

    /// The memory of their values, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |kept| kept.values.len())
    }

    /// One after the other; of the first value what follows its start.
    fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let (names, mut rest) = match &self.0 {
            Some(Kept { layout, values }) => (layout.names.as_slice(), &**values),
            None => (&[][..], &[][..]),
        };
        names.iter().map_while(move |name| {
            let value;
            (value, rest) = split_value(rest)?;
            Some((name, value))
        })
    }
}

impl fmt::Debug for KeptFields {
    /// Names only: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name.as_str())).finish()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout").field("names", &self.names).finish_non_exhaustive()
    }
}

impl NewFields {
    /// Room for so many fields, whose values have `bytes` in all.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        let bytes = fields.saturating_mul(2).saturating_add(bytes);
        let (names, values) = (Vec::with_capacity(fields), Vec::with_capacity(bytes));
        Self { names, values, bytes: 0 }
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &HeaderName, value: &[u8]) {
        let bytes = name.as_str().len().saturating_add(value.len());
        self.bytes = self.bytes.saturating_add(bytes);
        self.names.push(name.clone());
        add_length(&mut self.values, value.len());
        self.values.extend_from_slice(value);
    }

    /// The size of names and values, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The fields, sharing what they have in common with others: `known` is the layout of
    /// the last ones. The first value is an identity token, or one after a scheme.
    pub(crate) fn sharing(self, known: &mut Rc<Layout>) -> KeptFields {
        let Some((first, others)) = split_value(&self.values) else { return self.into() };
        let jose = memchr::memchr(b'.', first).and_then(|dot| dot.checked_add(1));
        let (start, rest) = first.split_at_checked(jose.unwrap_or(0)).unwrap_or((&[], first));
        let mut values = Vec::with_capacity(self.values.len().saturating_sub(start.len()));
        add_length(&mut values, rest.len());
        values.extend_from_slice(rest);
        values.extend_from_slice(others);
        if known.names != self.names || known.start != start {
            let start = start.to_vec();
            *known = Rc::new(Layout { names: self.names, start, spare: Cell::default() });
        }
        KeptFields(Some(Kept { layout: Rc::clone(known), values: values.into() }))
    }
}

impl From<NewFields> for KeptFields {
    fn from(NewFields { names, values, .. }: NewFields) -> Self {
        let layout = Layout { names, ..Layout::default() };
        Self(Some(Kept { layout: layout.into(), values: values.into() }))
    }
}

impl From<NewFields> for SetFields {
    fn from(fields: NewFields) -> Self {
        Self { kept: fields.into(), first: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[(&str, &[u8])]) -> NewFields {
        let mut new = NewFields::with_capacity(3, 10);
        let name = |name: &str| HeaderName::parse(name).unwrap();
        values.iter().for_each(|(own, value)| new.push(&name(own), value));
        new
    }

    fn read(kept: &KeptFields) -> Vec<(String, Vec<u8>)> {
        let open = kept.open();
        let own = |(name, value): (&HeaderName, &[u8])| (name.as_str().to_owned(), value.to_vec());
        open.iter().map(own).collect()
    }

    #[test]
    fn fields_come_back_as_they_were_added() {
        let expected = [("x-a", &b"one"[..]), ("x-b", b""), ("x-c", &[7; 300])];
        let new = fields(&expected);
        assert_eq!(new.bytes(), 9 + 303);
        let other = fields(&[("x-a", b"b.c.d"), ("x-b", b"other"), ("x-c", b"other")]);
        let mut known = Rc::default();
        for kept in [new.sharing(&mut known), fields(&expected).into()] {
            let owned = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
            assert_eq!(read(&kept), expected.iter().map(owned).collect::<Vec<_>>());
            assert_eq!((kept.open().len(), kept.open().is_empty()), (3, false));
            assert_eq!(format!("{kept:?}"), r#"["x-a", "x-b", "x-c"]"#, "no values");
        }
        assert_eq!(read(&other.sharing(&mut known))[0].1, b"b.c.d");
        let none = SetFields::default();
        assert!(none.is_empty() && none.iter().next().is_none());
        assert!(KeptFields::default().open().is_empty());
    }

    #[test]
    fn values_of_any_length() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let mut values = Vec::new();
            let value = vec![b'x'; length];
            for value in [&value[..], b"next"] {
                add_length(&mut values, value.len());
                values.extend_from_slice(value);
            }
            let (first, others) = split_value(&values).unwrap();
            assert_eq!((first, split_value(others)), (&value[..], Some((&b"next"[..], &[][..]))));
            let short = values.len() - b"next".len() - 2;
            assert_eq!(split_value(&values[..short]), None, "{length} cut short");
        }
        assert_eq!(split_value(&[0xff; 20]), None);
    }

    #[test]
    fn names_and_jose_headers_are_shared() {
        let mut known = Rc::default();
        let mut keep = |scheme: &str, header: &str, payload: &str| {
            let value = format!("{scheme}{header}.{payload}.signature");
            let values = [("authorization", value.as_bytes()), ("x-b", b"b.c")];
            let kept = fields(&values).sharing(&mut known);
            assert_eq!(read(&kept)[0].1, value.as_bytes());
            assert_eq!(read(&kept)[1].1, b"b.c", "only the first one");
            kept
        };
        let layout = |kept: &KeptFields| Rc::clone(&kept.0.as_ref().unwrap().layout);
        let alice = keep("Bearer ", "header", "alice");
        let bob = keep("Bearer ", "header", "bob");
        assert!(Rc::ptr_eq(&layout(&alice), &layout(&bob)));
        assert_eq!(bob.bytes(), "bob.signature".len() + "b.c".len() + 2);
        for other in [keep("", "header", "alice"), keep("Bearer ", "headed", "alice")] {
            assert!(!Rc::ptr_eq(&layout(&alice), &layout(&other)));
        }
        assert_eq!(read(&alice)[0].1, b"Bearer header.alice.signature");
    }

    #[test]
    fn requests_at_the_same_time_do_not_share_memory() {
        let mut known = Rc::default();
        let [one, two] =
            [&b"h.one"[..], b"h.two"].map(|value| fields(&[("x-a", value)]).sharing(&mut known));
        let (first, second, third) = (one.open(), two.open(), one.open());
        let value = |fields: &SetFields| fields.iter().next().unwrap().1.to_vec();
        assert_eq!([value(&first), value(&second)], [b"h.one".to_vec(), b"h.two".to_vec()]);
        drop(first);
        let memory = third.first.as_ptr();
        drop(third);
        let next = two.open();
        assert_eq!((next.first.as_ptr(), value(&next)), (memory, b"h.two".to_vec()));
        assert_eq!(value(&second), b"h.two");
    }
}
