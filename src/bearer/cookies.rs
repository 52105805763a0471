//! Cookies: which of them hold a token, and the token itself.

use std::borrow::Cow;

use crate::http::RequestHead;

/// The token in a cookie: complete, or joined from pieces if it is too long for one
/// cookie. A piece that is repeated, or has another beginning, counts as a token of its
/// own, so that the request has several.
pub(super) fn in_cookie<'a>(head: &'a RequestHead, name: &str) -> Vec<Cow<'a, [u8]>> {
    let of_pair = |pair| Some((piece_of(pair, name)?, value_of(pair).trim_ascii()));
    let mut pieces: Vec<_> = pairs(head).filter_map(of_pair).collect();
    pieces.sort_by_key(|(place, _)| *place);
    let begins = pieces.iter().filter(|(place, _)| *place == 0).count();
    let is_repeated = pieces.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b));
    if begins == 0 {
        return Vec::new();
    }
    let in_order = pieces.iter().zip(0..).take_while(|((place, _), own)| place == own);
    let values: Vec<_> = in_order.map(|((_, value), _)| *value).collect();
    match values.as_slice() {
        _ if is_repeated => pieces.into_iter().map(|(_, value)| Cow::Borrowed(value)).collect(),
        [whole] => vec![Cow::Borrowed(*whole)],
        pieces => vec![Cow::Owned(pieces.concat())],
    }
}

/// Which piece of the cookie `name` a pair is, from 0; cookie names are exact, case
/// included (RFC 6265 section 4.1.1), and white space around them does not belong to them
/// (section 5.2).
pub(super) fn piece_of(pair: &[u8], name: &str) -> Option<usize> {
    match name_of(pair).trim_ascii().strip_prefix(name.as_bytes())? {
        [] => Some(0),
        [b'_', digit @ b'1'..=b'9'] => Some(usize::from(digit.saturating_sub(b'0'))),
        _ => None,
    }
}

/// All cookies of a request.
pub(super) fn pairs(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    head.values("cookie")
        .flat_map(|value| value.split(|byte| *byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}

/// The part before the first `=`.
pub(super) fn name_of(pair: &[u8]) -> &[u8] {
    pair.splitn(2, |byte| *byte == b'=').next().unwrap_or_default()
}

/// The part after the first `=`.
pub(super) fn value_of(pair: &[u8]) -> &[u8] {
    pair.splitn(2, |byte| *byte == b'=').nth(1).unwrap_or_default()
}
