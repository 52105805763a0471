//! The header fields that the gateway sets upstream.

use std::fmt;
use std::rc::Rc;

use super::HeaderName;

/// Header fields to set upstream; each replaces every field of its name.
///
/// The values are in one piece of memory, and the names are shared with others that have
/// the same: a gateway remembers such fields for each of its tokens.
#[derive(Clone, Default)]
pub struct SetFields(Option<Stored>);

#[derive(Clone)]
struct Stored {
    names: Rc<[HeaderName]>,
    /// Each value after its length, of [`LENGTH`] bytes.
    values: Rc<[u8]>,
}

/// Fields that are being collected.
#[derive(Debug, Default)]
pub(crate) struct NewFields {
    names: Vec<HeaderName>,
    /// As they are stored.
    values: Vec<u8>,
}

const LENGTH: usize = size_of::<u32>();

impl SetFields {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let (names, mut rest) = match &self.0 {
            Some(Stored { names, values }) => (&**names, &**values),
            None => (&[][..], &[][..]),
        };
        names.iter().map_while(move |name| {
            let (length, after) = rest.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let value;
            (value, rest) = after.split_at_checked(length)?;
            Some((name, value))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |stored| stored.names.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory of their values, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |stored| stored.values.len())
    }
}

impl fmt::Debug for SetFields {
    /// Names only: a value may be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name.as_str())).finish()
    }
}

impl NewFields {
    /// Room for so many fields, whose values have `bytes` in all.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        let bytes = fields.saturating_mul(LENGTH).saturating_add(bytes);
        Self { names: Vec::with_capacity(fields), values: Vec::with_capacity(bytes) }
    }

    /// Adds a field.
    pub(crate) fn push(&mut self, name: &HeaderName, value: &[u8]) {
        // No value is as long as 4 GiB.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.values.extend_from_slice(&length.to_le_bytes());
        self.values.extend_from_slice(value);
    }

    /// The size of names and values, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let lengths = self.names.len().saturating_mul(LENGTH);
        let names = self.names.iter().map(|name| name.as_str().len());
        names.fold(self.values.len().saturating_sub(lengths), usize::saturating_add)
    }

    /// The fields, with their names shared with others that have the same: `known` are
    /// those of the last ones.
    pub(crate) fn sharing(self, known: &mut Rc<[HeaderName]>) -> SetFields {
        if **known != *self.names {
            *known = self.names.into();
        }
        SetFields(Some(Stored { names: Rc::clone(known), values: self.values.into() }))
    }
}

impl From<NewFields> for SetFields {
    fn from(NewFields { names, values }: NewFields) -> Self {
        Self(Some(Stored { names: names.into(), values: values.into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_added() {
        let name = |name: &str| HeaderName::parse(name).unwrap();
        let expected = [(name("x-a"), &b"one"[..]), (name("x-b"), b""), (name("x-c"), &[7; 300])];
        let mut new = NewFields::with_capacity(3, 10);
        expected.iter().for_each(|(name, value)| new.push(name, value));
        assert_eq!(new.bytes(), 9 + 303);
        let mut other = NewFields::default();
        expected.iter().for_each(|(name, _)| other.push(name, b"other"));
        let mut known = Rc::from([]);
        let mut shared = Vec::new();
        for new in [new, other] {
            let fields = new.sharing(&mut known);
            shared.push(fields);
        }
        for (fields, value) in shared.iter().zip([None, Some(&b"other"[..])]) {
            let expected = expected.iter().map(|(name, own)| (name, value.unwrap_or(own)));
            assert!(fields.iter().eq(expected));
            assert_eq!((fields.len(), fields.is_empty()), (3, false));
            assert_eq!(format!("{fields:?}"), r#"["x-a", "x-b", "x-c"]"#, "no values");
        }
        // Here, and twice in the fields.
        assert_eq!(Rc::strong_count(&known), 3);
        let none = SetFields::default();
        assert!(none.is_empty() && none.iter().next().is_none());
    }
}
