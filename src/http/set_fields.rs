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
struct Layout {
    names: Box<[HeaderName]>,
    /// None if it is that of one identity alone.
    shared: Option<Start>,
}

/// The start of a first value.
struct Start {
    text: Box<[u8]>,
    spare: Spare,
}

/// Memory to put a first value together in, while no request uses it.
type Spare = Rc<Cell<Vec<u8>>>;

/// Layouts for fields to share.
///
/// It has few, so that they need not be counted for any identity: whoever counted for one
/// that others share would have to count again when its identity is gone.
#[derive(Default)]
pub(crate) struct KnownLayouts {
    /// Each stays while fields have it.
    layouts: Vec<Rc<Layout>>,
    spare: Spare,
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
        let shared = self.kept.0.as_ref().and_then(|kept| kept.layout.shared.as_ref());
        if let Some(start) = shared.filter(|_| !self.first.is_empty()) {
            start.spare.set(std::mem::take(&mut self.first));
        }
    }
}

impl KeptFields {
    /// The fields, whole.
    pub(crate) fn open(&self) -> SetFields {
        let mut first = Vec::new();
        if let Some(Kept { layout, .. }) = &self.0
            && let Some(start) = layout.shared.as_ref().filter(|start| !start.text.is_empty())
            && let Some((_, rest)) = self.iter().next()
        {
            first = start.spare.take();
            first.clear();
            first.extend_from_slice(&start.text);
            first.extend_from_slice(rest);
        }
        SetFields { kept: self.clone(), first }
    }

    /// Their approximate memory in bytes, without what they share.
    pub(crate) fn bytes(&self) -> usize {
        let Some(Kept { layout, values }) = &self.0 else { return 0 };
        let layout = if layout.shared.is_some() { 0 } else { layout.bytes() };
        layout.saturating_add(values.len())
    }

    /// One after the other; of the first value what follows its start.
    fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let (names, mut rest) = match &self.0 {
            Some(Kept { layout, values }) => (&*layout.names, &**values),
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

impl fmt::Debug for KnownLayouts {
    /// Without the spare memory: a token was in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.layouts).finish()
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
}

impl Layout {
    /// Its own memory, and what the allocator adds to its two blocks.
    const BLOCKS: usize = size_of::<Self>() + 4 * size_of::<usize>();

    fn bytes(&self) -> usize {
        size_of_val(&*self.names).saturating_add(Self::BLOCKS)
    }
}

impl KnownLayouts {
    /// Services take few kinds of tokens, and few of the fields are optional.
    const MAX: usize = 64;

    /// The fields, sharing what they have in common with others. The first value is an
    /// identity token, or one after a scheme.
    pub(crate) fn share(&mut self, fields: NewFields) -> KeptFields {
        let Some((first, others)) = split_value(&fields.values) else { return fields.into() };
        let jose = memchr::memchr(b'.', first).and_then(|dot| dot.checked_add(1));
        let (start, rest) = first.split_at_checked(jose.unwrap_or(0)).unwrap_or((&[], first));
        let Some(layout) = self.layout(&fields.names, start) else { return fields.into() };
        let mut values = Vec::with_capacity(fields.values.len().saturating_sub(start.len()));
        add_length(&mut values, rest.len());
        values.extend_from_slice(rest);
        values.extend_from_slice(others);
        KeptFields(Some(Kept { layout, values: values.into() }))
    }

    /// The layout of fields with these `names`, the first of which starts with `start`. `None`
    /// if there are too many.
    fn layout(&mut self, names: &[HeaderName], start: &[u8]) -> Option<Rc<Layout>> {
        let is_same = |known: &Rc<Layout>| {
            let text = known.shared.as_ref().map_or(&[][..], |start| &start.text);
            *known.names == *names && *text == *start
        };
        if let Some(at) = self.layouts.iter().position(is_same) {
            // The next fields probably have it too.
            self.layouts.swap(0, at);
            return self.layouts.first().cloned();
        }
        if self.layouts.len() >= Self::MAX {
            self.layouts.retain(|known| Rc::strong_count(known) > 1);
        }
        (self.layouts.len() < Self::MAX).then(|| {
            let shared = Some(Start { text: start.into(), spare: Rc::clone(&self.spare) });
            let layout = Rc::new(Layout { names: names.into(), shared });
            self.layouts.push(Rc::clone(&layout));
            layout
        })
    }
}

impl From<NewFields> for KeptFields {
    fn from(NewFields { names, values, .. }: NewFields) -> Self {
        let layout = Layout { names: names.into(), shared: None };
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
        let mut known = KnownLayouts::default();
        for kept in [known.share(new), fields(&expected).into()] {
            let owned = |(name, value): &(&str, &[u8])| ((*name).to_owned(), value.to_vec());
            assert_eq!(read(&kept), expected.iter().map(owned).collect::<Vec<_>>());
            assert_eq!((kept.open().len(), kept.open().is_empty()), (3, false));
            assert_eq!(format!("{kept:?}"), r#"["x-a", "x-b", "x-c"]"#, "no values");
        }
        assert_eq!(read(&known.share(other))[0].1, b"b.c.d");
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
        let mut known = KnownLayouts::default();
        let mut keep = |scheme: &str, header: &str, payload: &str| {
            let value = format!("{scheme}{header}.{payload}.signature");
            let values = [("authorization", value.as_bytes()), ("x-b", b"b.c")];
            let kept = known.share(fields(&values));
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
        let mut known = KnownLayouts::default();
        let [one, two] =
            [&b"h.one"[..], b"h.two"].map(|value| known.share(fields(&[("x-a", value)])));
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

    /// Or a worker would need more than its caches tell.
    #[test]
    fn a_layout_that_is_not_shared_is_counted() {
        let mut known = KnownLayouts::default();
        let value = |number: usize| format!("{number}.payload");
        let mut keep = |number: usize| {
            let kept = known.share(fields(&[("x-a", value(number).as_bytes())]));
            assert_eq!(read(&kept)[0].1, value(number).as_bytes());
            (known.layouts.len(), kept)
        };
        let mut all: Vec<_> = (0..2 * KnownLayouts::MAX).map(&mut keep).collect();
        assert_eq!(all.last().unwrap().0, KnownLayouts::MAX);
        let counted: Vec<_> = all.iter().filter(|(_, kept)| kept.bytes() > 20).collect();
        assert_eq!(counted.len(), KnownLayouts::MAX);
        assert!(counted.iter().all(|(_, kept)| kept.bytes() > size_of::<Layout>()));
        assert!(keep(0).1.bytes() < 20, "it stays while fields have it");
        all.clear();
        assert!(keep(1000).1.bytes() < 20, "there is room again");
        assert_eq!(keep(1000).0, 1);
    }

    #[test]
    fn memory_is_left_to_those_of_another_layout_too() {
        let mut known = KnownLayouts::default();
        let [one, two] =
            [("x-a", &b"h.one"[..]), ("x-b", b"i.two")].map(|own| known.share(fields(&[own])));
        let first = one.open();
        let memory = first.first.as_ptr();
        drop(first);
        let next = two.open();
        assert_eq!(next.first.as_ptr(), memory);
        assert_eq!(next.iter().next().unwrap().1, b"i.two");
    }
}
