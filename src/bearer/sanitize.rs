//! Sanitizes requests: removes client-supplied values of owned headers, and the public
//! token where it must not go upstream.
//!
//! Services trust owned headers because clients cannot set them. That is true only if
//! it is true on every path, so each request is sanitized, authenticated, anonymous and
//! bypassed ones alike.

use std::borrow::Cow;

use crate::denial::Denial;
use crate::http::{
    AUTHORIZATION, Edit, Field, HeaderName, Marks, RequestHead, is_spelled, is_token_byte,
};

/// Client-supplied values that must not reach the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sanitized {
    /// Names of header fields to clear, spelled as the client did.
    pub clear: FieldNames,
    /// Header fields that keep a part of their value.
    pub rewrite: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// `:path` without a token in its query.
    pub path: Option<Vec<u8>>,
}

impl Sanitized {
    /// The resulting edits, in order; none for a field that `is_set` afterwards, which
    /// replaces it.
    pub fn edits<'a>(
        &'a self,
        is_set: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = Edit<'a>> {
        let clear = self.clear.iter().filter(move |name| !is_set(name)).map(Edit::Remove);
        let rewrite = self.rewrite.iter().map(|(name, value)| match value.is_empty() {
            true => Edit::Remove(name),
            false => Edit::Set(name, value),
        });
        clear.chain(rewrite).chain(self.path.as_deref().map(Edit::Path))
    }
}

/// Names of header fields, each once whatever its case, as a client spelled them and in
/// its order.
///
/// `authorization` alone, as nearly every request spells it, takes no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldNames {
    others: Vec<String>,
    /// How many of the others come before it, if it is one of the names.
    authorization: Option<usize>,
}

impl FieldNames {
    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> + Clone {
        let before = self.authorization.unwrap_or_default();
        let others = || self.others.iter().map(String::as_str);
        let own = self.authorization.map(|_| AUTHORIZATION);
        others().take(before).chain(own).chain(others().skip(before))
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.others.is_empty() && self.authorization.is_none()
    }

    /// One name.
    #[cfg(test)]
    pub(super) fn of(name: &str) -> Self {
        let mut names = Self::default();
        names.add(name.as_bytes()).unwrap();
        names
    }

    /// Adds a name, as [`add_name`] does.
    pub(crate) fn add(&mut self, name: &[u8]) -> Result<(), Denial> {
        let is_known = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        if name != AUTHORIZATION.as_bytes() {
            let is_there = self.authorization.is_some() && is_known(AUTHORIZATION);
            return if is_there { Ok(()) } else { add_name(&mut self.others, name) };
        }
        if self.authorization.is_none() && !self.others.iter().any(|known| is_known(known)) {
            self.authorization = Some(self.others.len());
        }
        Ok(())
    }
}

/// The header by which a client names fields of its own for the next proxy.
const CONNECTION: &[u8] = b"connection";

/// The header names that the filter owns: those it can ever set upstream.
#[derive(Debug)]
pub struct OwnedHeaders {
    names: Vec<HeaderName>,
    marks: Marks,
}

impl OwnedHeaders {
    /// Owns `names`.
    pub fn new(names: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        names.dedup();
        let marks = Marks::of_all(&names);
        Self { names, marks }
    }

    fn owner_of(&self, name: &[u8]) -> Option<&HeaderName> {
        self.names.iter().find(|owned| owned.is_spelled(name))
    }

    /// Collects owned headers in `head`: the fields, in every spelling that an upstream may
    /// accept, and their names in `Connection`, with which a client could make the next
    /// proxy drop them (RFC 9110 section 7.6.1).
    pub fn sanitize(&self, head: &RequestHead, sanitized: &mut Sanitized) -> Result<(), Denial> {
        for field in head.marked(self.marks.and(Marks::of(CONNECTION))) {
            if self.owner_of(field.name).is_some() {
                sanitized.clear.add(field.name)?;
            } else if field.name.eq_ignore_ascii_case(CONNECTION)
                && let Some(rest) = self.without_owned(field.value)
            {
                sanitized.rewrite.push(("connection".into(), rest));
            }
        }
        Ok(())
    }

    /// True for a trailer that must not reach the upstream, which may merge it into the
    /// headers: an owned header, or a field for authentication or framing, which is not
    /// allowed in trailers (RFC 9110 section 6.5.1).
    pub fn forbids_trailer(&self, name: &[u8]) -> bool {
        let mut never = NO_TRAILERS.iter();
        self.owner_of(name).is_some() || never.any(|own| is_spelled(own.as_bytes(), name))
    }

    /// Refuses a request in which one of the owned headers is spelled with
    /// another byte for `-`.
    ///
    /// For hosts that cannot remove a header: blanked, it would remain beside the one
    /// that the filter sets, and a server that merges both reads `,` and the value, or
    /// nothing.
    pub fn refuse_misspelled(&self, sanitized: &Sanitized) -> Result<(), Denial> {
        let is_misspelled = |name: &&str| {
            let owner = self.owner_of(name.as_bytes());
            owner.is_some_and(|own| !own.as_str().eq_ignore_ascii_case(name))
        };
        match sanitized.clear.iter().find(is_misspelled) {
            Some(name) => Err(Denial::HeaderRepeated(name.to_ascii_lowercase())),
            None => Ok(()),
        }
    }

    /// The options of a `Connection` value that name no owned header; `None` if there are
    /// none. Characters that a lenient proxy may treat as spaces or quotes around a name
    /// are not part of the name.
    // RFC 9110 section 7.6.1 (R44)
    fn without_owned(&self, value: &[u8]) -> Option<Vec<u8>> {
        let is_owned = |option: &&[u8]| self.owner_of(trim_to_token(option)).is_some();
        let options = || value.split(|byte| *byte == b',');
        options().any(|option| is_owned(&option)).then(|| {
            let kept: Vec<_> = options().filter(|option| !is_owned(option)).collect();
            kept.join(&b',').trim_ascii().to_vec()
        })
    }
}

/// Trims bytes that cannot begin or end a token (RFC 9110 section 5.6.2).
fn trim_to_token(mut option: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = option
        && !is_token_byte(*first)
    {
        option = rest;
    }
    while let [rest @ .., last] = option
        && !is_token_byte(*last)
    {
        option = rest;
    }
    option
}

/// Refuses a request in which one of `sanitized`'s headers occurs more than
/// once.
///
/// For hosts that cannot remove a header but only overwrite its first occurrence
/// (ngx_wasm_module): the second one would reach the upstream.
pub fn refuse_repeated(head: &RequestHead, sanitized: &Sanitized) -> Result<(), Denial> {
    let cleared = sanitized.clear.iter();
    let rewritten = sanitized.rewrite.iter().map(|(name, _)| name.as_ref());
    for name in cleared.chain(rewritten) {
        let same = |field: &Field<'_>| is_spelled(name.as_bytes(), field.name);
        if head.fields().filter(same).count() > 1 {
            return Err(Denial::HeaderRepeated(name.to_ascii_lowercase()));
        }
    }
    Ok(())
}

/// Fields not allowed in trailers, besides owned headers.
const NO_TRAILERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Adds a name once, ignoring case. Refuses a name that is not a token (RFC 9110 section
/// 5.1), since no host could find the field by it.
pub(crate) fn add_name(names: &mut Vec<String>, name: &[u8]) -> Result<(), Denial> {
    if names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(name).into_owned();
    if !name.iter().copied().all(is_token_byte) {
        return Err(Denial::HeaderNameInvalid(
            text.to_ascii_lowercase().escape_debug().to_string(),
        ));
    }
    names.push(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned() -> OwnedHeaders {
        let names = ["x-consumer-id", "x-consumer-username", "x-identity-token"];
        OwnedHeaders::new(names.map(|name| HeaderName::parse(name).unwrap()))
    }

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        RequestHead::new(fields.iter().map(owned))
    }

    #[test]
    fn forged_headers_are_cleared_in_every_spelling() {
        for (case, fields, expected) in [
            ("none", &[("accept", "*/*")][..], &[][..]),
            ("as it is", &[("x-consumer-id", "1")], &["x-consumer-id"]),
            ("another case", &[("X-Consumer-ID", "1")], &["X-Consumer-ID"]),
            ("underscores", &[("x_consumer_username", "r")], &["x_consumer_username"]),
            ("mixed", &[("x-consumer_id", "1")], &["x-consumer_id"]),
            ("dots", &[("X.Consumer.Id", "1")], &["X.Consumer.Id"]),
            ("whatever is no letter", &[("x~consumer!id", "1")], &["x~consumer!id"]),
            ("repeated", &[("x-consumer-id", "1"), ("x-consumer-id", "2")], &["x-consumer-id"]),
            ("longer name", &[("x-consumer-id-2", "1")], &[]),
        ] {
            let mut sanitized = Sanitized::default();
            owned().sanitize(&head(fields), &mut sanitized).unwrap();
            assert!(sanitized.clear.iter().eq(expected.iter().copied()), "{case}: {sanitized:?}");
        }
    }

    #[test]
    fn names_are_kept_once_and_in_order() {
        for (case, names, expected) in [
            ("alone", &["authorization"][..], &["authorization"][..]),
            ("in between", &["x-a", "authorization", "x-b"], &["x-a", "authorization", "x-b"]),
            ("again", &["authorization", "authorization", "x-a"], &["authorization", "x-a"]),
            ("in another case", &["authorization", "Authorization"], &["authorization"]),
            ("first in another case", &["Authorization", "authorization"], &["Authorization"]),
            ("another spelling", &["authorization", "x_a", "X_A"], &["authorization", "x_a"]),
        ] {
            let mut kept = FieldNames::default();
            assert!(kept.is_empty());
            names.iter().for_each(|name| kept.add(name.as_bytes()).unwrap());
            assert!(kept.iter().eq(expected.iter().copied()), "{case}: {kept:?}");
            assert!(!kept.is_empty());
        }
        assert!(FieldNames::default().add(b"authorization ").is_err(), "no token");
    }

    // RFC 9110 section 7.6.1 (R44)
    #[test]
    fn connection_cannot_name_an_owned_header() {
        for (case, value, expected) in [
            ("harmless", "keep-alive, upgrade", None),
            ("alone", "X-Identity-Token", Some("")),
            ("among others", "keep-alive, X_Consumer_ID ,upgrade", Some("keep-alive,upgrade")),
            ("with dots", "x.consumer.id, close", Some("close")),
            ("with what is no space", "close,\u{b}x-consumer-id\u{a0}", Some("close")),
            ("quoted", "\"x-consumer-id\", close", Some("close")),
            ("a part of another name", "x-consumer-id-2, my-x-consumer-id", None),
            ("nothing", " ,\u{b}", None),
        ] {
            let mut sanitized = Sanitized::default();
            owned().sanitize(&head(&[("connection", value)]), &mut sanitized).unwrap();
            let rewritten = sanitized.rewrite.first().map(|(_, value)| value.as_slice());
            assert_eq!(rewritten, expected.map(str::as_bytes), "{case}");
        }
    }

    #[test]
    fn repeats_are_refused_where_they_cannot_be_removed() {
        for (case, fields, refused) in [
            ("once", &[("x-consumer-id", "1")][..], false),
            ("twice", &[("x-consumer-id", "1"), ("X-Consumer-Id", "2")], true),
            ("twice, another spelling", &[("x-consumer-id", "1"), ("x_consumer_id", "2")], true),
            ("a foreign header twice", &[("accept", "a"), ("accept", "b")], false),
        ] {
            let head = head(fields);
            let mut sanitized = Sanitized::default();
            owned().sanitize(&head, &mut sanitized).unwrap();
            assert_eq!(refuse_repeated(&head, &sanitized).is_err(), refused, "{case}");
        }
    }

    #[test]
    fn other_spellings_are_refused_where_they_cannot_be_removed() {
        for (name, refused) in [
            ("x-consumer-id", false),
            ("X-Consumer-ID", false),
            ("x_consumer_id", true),
            ("X-Consumer_ID", true),
            ("x.consumer.id", true),
            ("x_other", false),
        ] {
            let mut sanitized = Sanitized::default();
            owned().sanitize(&head(&[(name, "1")]), &mut sanitized).unwrap();
            assert_eq!(owned().refuse_misspelled(&sanitized).is_err(), refused, "{name}");
        }
    }
}
