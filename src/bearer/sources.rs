//! Where a request carries its token: header, cookie or query parameter.

use std::borrow::Cow;

use super::cookies::{in_cookie, pairs as cookie_pairs, piece_of, value_of};
use super::origin::OriginPolicy;
use super::sanitize::{Sanitized, add_name};
use crate::denial::Denial;
use crate::http::{
    AUTHORIZATION, Field, HeaderName, Marks, RequestHead, escaped_byte, is_bearer_token,
    is_spelled, is_token_byte, percent_decode,
};
use crate::overrides::IdentityHeader;
use crate::token::{Malformed, Rejection, TokenError};

/// Where to look for a token: `token` in the configuration.
#[derive(Debug)]
pub struct TokenSources {
    /// Header fields.
    pub headers: Vec<HeaderSource>,
    /// Names of cookies.
    pub cookies: Vec<String>,
    /// Names of query parameters (RFC 6750 section 2.3 discourages them).
    pub params: Vec<String>,
    /// Whether the parameters are not configured but the defaults of Kong's plugin.
    pub are_default_params: bool,
    /// Headers of these sources that may carry the identity token towards services.
    pub carriers: Vec<HeaderName>,
    /// Whether the public token is forwarded upstream.
    pub forward: bool,
    /// The origins from which requests with a cookie may come.
    pub origins: OriginPolicy,
    /// The source of tokens with a proof, if accepted: `Authorization` with the scheme
    /// DPoP (RFC 9449 section 7.1).
    pub proofs: Option<HeaderSource>,
}

/// A token, as it was sent.
struct Found<'a> {
    text: Cow<'a, [u8]>,
    /// True if it came in a cookie, which browsers send by themselves.
    in_cookie: bool,
}

/// A header field that carries a token after a prefix.
#[derive(Clone, Debug)]
pub struct HeaderSource {
    /// The header field.
    pub name: HeaderName,
    /// The text before the token, ignoring case; empty when the token is the whole value.
    /// A prefix that ends with a space is an authentication scheme.
    pub prefix: String,
}

impl HeaderSource {
    /// `Authorization` with the scheme DPoP.
    pub fn of_proofs() -> Self {
        Self { name: HeaderName::authorization(), prefix: "DPoP ".to_owned() }
    }

    /// The rest of each field of this name after the prefix.
    fn in_fields<'a>(&self, head: &'a RequestHead) -> impl Iterator<Item = &'a [u8]> {
        head.marked(Marks::of(self.name.as_str().as_bytes()))
            .filter(|field| field.name.eq_ignore_ascii_case(self.name.as_str().as_bytes()))
            .filter_map(|field| self.credentials(field.value))
    }

    /// What follows the prefix; `None` when the value does not begin with it.
    ///
    /// A host may join repeated fields into one list. A value with the prefix further on
    /// is returned whole, since it is not a single token.
    fn credentials<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let has_prefix = |element| !self.prefix.is_empty() && self.after_prefix(element).is_some();
        let is_behind = || value.split(|byte| *byte == b',').skip(1).any(has_prefix);
        self.after_prefix(value).or_else(|| is_behind().then_some(value))
    }

    /// A scheme is a token (RFC 9110 section 11.1): if it continues without a space, it
    /// is another scheme. Any other prefix may be followed by anything, as in Envoy.
    // RFC 9110 section 11.1: "It uses a case-insensitive token to identify the
    // authentication scheme" (R36)
    fn after_prefix<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let value = value.trim_ascii();
        let prefix = self.prefix.trim_ascii_end();
        let (start, rest) = value.split_at_checked(prefix.len())?;
        if !start.eq_ignore_ascii_case(prefix.as_bytes()) {
            return None;
        }
        let is_scheme = prefix.len() < self.prefix.len();
        match rest {
            [] | [b' ' | b'\t', ..] => Some(rest.trim_ascii_start()),
            _ if is_scheme => None,
            _ => Some(rest),
        }
    }
}

/// Whether `Authorization` has credentials of a scheme without tokens, such as Basic:
/// those are for the upstream.
fn is_of_another_scheme(value: &[u8]) -> bool {
    const OF_TOKENS: [&[u8]; 2] = [b"bearer", b"dpop"];
    let value = value.trim_ascii();
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let Some((scheme, rest)) = end.and_then(|end| value.split_at_checked(end)) else {
        return false;
    };
    let is_for_tokens = OF_TOKENS.iter().any(|own| scheme.eq_ignore_ascii_case(own));
    !is_for_tokens && scheme.iter().copied().all(is_token_byte) && !rest.trim_ascii().is_empty()
}

impl TokenSources {
    /// Adds headers that carry an identity token towards services: whatever a client sends
    /// in one must not go upstream, since a service may not tell it from the gateway's.
    pub fn carry(&mut self, carriers: &[IdentityHeader]) {
        let own = carriers.iter().map(|it| &it.name);
        let own = own.filter(|name| self.may_carry_token(name.as_str().as_bytes()));
        self.carriers = own.cloned().collect();
    }

    /// The request's only token, if it has one; its form is not checked, see
    /// [`check_form`].
    ///
    /// More than one token is refused, even if they are equal: two readers could use
    /// different ones (RFC 6750 section 2).
    ///
    /// A browser sends cookies until they are deleted, so an empty one counts as absent,
    /// and an expired one (`has_ended`) is ignored if there is another token: otherwise the
    /// request could never succeed, and an expired token is useless anyway.
    ///
    /// A token in a cookie is ignored if another site may have made the request. For a
    /// `resource` a parameter counts only if the configuration names it (RFC 9728 leaves it
    /// to the resource; in a URL a token ends up in logs).
    // RFC 6750 section 2: "Clients MUST NOT use more than one method to transmit the token
    // in each request." (R37)
    pub fn find<'a>(
        &self,
        head: &'a RequestHead,
        is_for_resource: bool,
        has_ended: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Cow<'a, [u8]>>, Denial> {
        let is_over = |found: &Found<'_>| found.in_cookie && has_ended(&found.text);
        let with = |in_cookie| move |text| Found { text, in_cookie };
        let in_headers = self.in_headers(head).map(with(false));
        let in_cookies = self.in_cookies(head).map(with(true));
        let reads_query = !(is_for_resource && self.are_default_params);
        let in_query = self.in_query(head).filter(move |_| reads_query).map(with(false));
        let mut candidates = in_headers
            .chain(in_cookies)
            .chain(in_query)
            .filter(|found| !(found.in_cookie && found.text.is_empty()));
        let Some(mut best) = candidates.next() else { return Ok(None) };
        // The best is asked for once more at most, however many there are.
        for candidate in candidates.filter(|candidate| !is_over(candidate)) {
            if !is_over(&best) {
                return Err(Denial::TokenMultiple);
            }
            best = candidate;
        }
        let Found { text: token, in_cookie } = best;
        if in_cookie {
            self.origins.check(head)?;
        }
        Ok(Some(token))
    }

    /// Collects what [`TokenSources::find`] ignored beside the token that it found, and so
    /// nobody verified: for requests whose token is forwarded. If it was one of several
    /// cookies, none is.
    pub fn sanitize_ignored(
        &self,
        head: &RequestHead,
        is_for_resource: bool,
        sanitized: &mut Sanitized,
    ) {
        let cookies = || self.in_cookies(head).filter(|text| !text.is_empty());
        let has_query = self.in_query(head).next().is_some();
        let reads_query = !(is_for_resource && self.are_default_params);
        let has_others = self.in_headers(head).next().is_some() || has_query && reads_query;
        if cookies().nth(usize::from(!has_others)).is_some() {
            sanitized.rewrite.push(("cookie".into(), self.other_cookies(head)));
        }
        if has_query && !reads_query {
            sanitized.path = Some(self.target_without_token(head));
        }
    }

    /// Collects the places of tokens in `head`, to remove them: for requests whose token is
    /// not forwarded.
    ///
    /// A configured header is removed whatever its value: it may be a token to the
    /// upstream even if it is not one here. Other schemes in `Authorization` are kept, unless
    /// services read the identity there.
    // RFC 9700 section 4.9 (R52)
    pub fn sanitize(&self, head: &RequestHead, sanitized: &mut Sanitized) -> Result<(), Denial> {
        let places = self.header_sources();
        let marks = Marks::of_all(places.clone().map(|source| &source.name));
        for field in head.marked(marks) {
            // A spelling that is not read here is not a token here, but may be one to the
            // upstream.
            let is_read = |source: &HeaderSource| source.credentials(field.value).is_some();
            let mut own = places.clone().filter(|it| it.name.is_spelled(field.name));
            let is_own = own.clone().next().is_some();
            if !is_own {
                continue;
            }
            let is_kept = is_spelled(AUTHORIZATION.as_bytes(), field.name)
                && is_of_another_scheme(field.value)
                && !self.carriers.iter().any(|name| name.is_spelled(field.name))
                && !own.any(is_read);
            if !is_kept {
                sanitized.clear.add(field.name)?;
            }
        }
        if cookie_pairs(head).any(|pair| self.is_token_cookie(pair)) {
            sanitized.rewrite.push(("cookie".into(), self.other_cookies(head)));
        }
        if self.in_query(head).next().is_some() {
            sanitized.path = Some(self.target_without_token(head));
        }
        self.sanitize_urls(head, sanitized)
    }

    /// Removes tokens from fields that repeat a URL with its query: `Referer`, and any
    /// other field into which a client or a proxy in front may have put one.
    fn sanitize_urls(&self, head: &RequestHead, sanitized: &mut Sanitized) -> Result<(), Denial> {
        if self.params.is_empty() {
            return Ok(());
        }
        let is_url = |field: &Field<'_>| {
            !field.name.starts_with(b":") && !field.name.eq_ignore_ascii_case(b"cookie")
        };
        let is_unwanted = |rest: &[u8]| self.is_token_param(rest, ends_pair);
        let without = |value: &[u8]| without_pairs(value, is_unwanted);
        for field in head.fields().filter(is_url) {
            if without(field.value).is_none() {
                continue;
            }
            // The rest of it could be read as a token.
            if self.may_carry_token(field.name) {
                sanitized.clear.add(field.name)?;
                continue;
            }
            let mut name = Vec::new();
            add_name(&mut name, &field.name.to_ascii_lowercase())?;
            let Some(name) = name.pop() else { continue };
            // A removed field must not come back as a rewritten one.
            let is_cleared = sanitized.clear.iter().any(|own| own.eq_ignore_ascii_case(&name));
            if is_cleared || sanitized.rewrite.iter().any(|(other, _)| *other == name) {
                continue;
            }
            // Setting a field replaces all of its name.
            let values = head.values(&name);
            let values: Vec<_> =
                values.map(|value| without(value).unwrap_or_else(|| value.to_vec())).collect();
            sanitized.rewrite.push((name.clone().into(), values.join(&b", "[..])));
        }
        Ok(())
    }

    /// Whether a field of this name may carry a token.
    pub fn may_carry_token(&self, name: &[u8]) -> bool {
        self.header_sources().any(|source| source.name.is_spelled(name))
    }

    /// The request target without the query parameters that carry tokens.
    pub fn target_without_token(&self, head: &RequestHead) -> Vec<u8> {
        if self.in_query(head).next().is_none() {
            return head.first(":path").unwrap_or_default().to_vec();
        }
        let kept: Vec<_> = query_pairs(head).filter(|pair| !self.is_query_token(pair)).collect();
        let mut target = head.target().path.to_vec();
        if !kept.is_empty() {
            target.push(b'?');
            target.extend(kept.join(&b'&'));
        }
        target
    }

    /// Whether the request's token came under the scheme DPoP. A request with a token has
    /// no other one, see [`TokenSources::find`].
    pub fn uses_dpop_scheme(&self, head: &RequestHead) -> bool {
        self.proofs.iter().any(|source| source.in_fields(head).next().is_some())
    }

    fn header_sources(&self) -> impl Iterator<Item = &HeaderSource> + Clone {
        self.headers.iter().chain(&self.proofs)
    }

    /// If two prefixes match, the longer one counts.
    fn in_headers<'a>(&self, head: &'a RequestHead) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let marks = Marks::of_all(self.header_sources().map(|source| &source.name));
        head.marked(marks).filter_map(|field| {
            let is_own = |source: &&HeaderSource| {
                field.name.eq_ignore_ascii_case(source.name.as_str().as_bytes())
            };
            let found = self
                .header_sources()
                .filter(is_own)
                .filter_map(|source| Some((source.prefix.len(), source.credentials(field.value)?)));
            found.max_by_key(|(length, _)| *length).map(|(_, token)| Cow::Borrowed(token))
        })
    }

    fn in_cookies<'a>(&self, head: &'a RequestHead) -> impl Iterator<Item = Cow<'a, [u8]>> {
        self.cookies.iter().flat_map(|name| in_cookie(head, name))
    }

    // RFC 6750 section 2.3: "it SHOULD NOT be used unless it is impossible to transport the
    // access token in the "Authorization" request header field" (R38)
    fn in_query<'a>(&self, head: &'a RequestHead) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let head = (!self.params.is_empty()).then_some(head);
        head.into_iter()
            .flat_map(query_pairs)
            .filter(|pair| self.is_query_token(pair))
            .map(|pair| percent_decode(value_of(pair)))
    }

    // RFC 6265 section 4.1.1 (R42)
    fn is_token_cookie(&self, pair: &[u8]) -> bool {
        // Cookie names are exact, case included (RFC 6265 section 4.1.1); white space
        // around them does not belong to them (section 5.2).
        self.cookies.iter().any(|name| piece_of(pair, name).is_some())
    }

    fn is_query_token(&self, pair: &[u8]) -> bool {
        self.is_token_param(pair, |_| false)
    }

    /// Whether a text begins with a parameter that carries a token.
    fn is_token_param(&self, text: &[u8], ends: fn(u8) -> bool) -> bool {
        self.params.iter().any(|param| begins_with_name(text, param.as_bytes(), ends))
    }

    fn other_cookies(&self, head: &RequestHead) -> Vec<u8> {
        let kept: Vec<_> = cookie_pairs(head).filter(|pair| !self.is_token_cookie(pair)).collect();
        kept.join(&b"; "[..])
    }
}

/// Refuses a token with characters that no bearer token has (`b64token`, RFC 6750 section
/// 2.1). Must be called for every token that is not cached.
pub fn check_form(token: &[u8]) -> Result<(), Denial> {
    if is_bearer_token(token) {
        return Ok(());
    }
    // Repeated fields, joined.
    if token.contains(&b',') {
        return Err(Denial::TokenMultiple);
    }
    let malformed = TokenError::Malformed(Malformed::NotABearerToken);
    Err(Denial::Token(Rejection::Unreadable(malformed)))
}

fn query_pairs(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let query = head.target().query.unwrap_or_default();
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty())
}

/// Whether a text begins with a parameter of this name, decoded: what comes next is `=`, or
/// `ends` the parameter. Reads no further than the name.
fn begins_with_name(text: &[u8], name: &[u8], ends: fn(u8) -> bool) -> bool {
    let is_end = |byte: u8| byte == b'=' || ends(byte);
    let mut rest = text;
    for wanted in name {
        let (byte, behind) = match (escaped_byte(rest), rest) {
            (Some(decoded), _) => decoded,
            (None, [byte, behind @ ..]) if !is_end(*byte) => (*byte, behind),
            _ => return false,
        };
        if byte != *wanted {
            return false;
        }
        rest = behind;
    }
    rest.first().is_none_or(|byte| is_end(*byte))
}

/// Whether this ends a parameter of a URL within a text.
const fn ends_pair(byte: u8) -> bool {
    matches!(byte, b'&' | b'#' | b'<' | b'>' | b'"' | b'\'' | b' ' | b'\t')
}

/// A text with a URL in it, without the URL's query parameters that are unwanted, of which
/// `is_unwanted` sees the beginning of the rest; `None` if there are none.
fn without_pairs(text: &[u8], is_unwanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(text.len());
    let mut is_changed = false;
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        kept.push(*byte);
        if !b"?&".contains(byte) {
            continue;
        }
        while is_unwanted(rest) {
            is_changed = true;
            let end = rest.iter().position(|byte| ends_pair(*byte)).unwrap_or(rest.len());
            match rest.get(end..).unwrap_or_default() {
                [b'&', next @ ..] => rest = next,
                end => {
                    rest = end;
                    // Nothing follows the `?` or `&` any more.
                    kept.pop();
                    break;
                }
            }
        }
    }
    is_changed.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bearer::sanitize::FieldNames;

    fn sources() -> TokenSources {
        TokenSources {
            headers: vec![
                HeaderSource { name: HeaderName::authorization(), prefix: "Bearer ".into() },
                HeaderSource { name: HeaderName::parse("x-token").unwrap(), prefix: "".into() },
            ],
            cookies: vec!["session".into()],
            params: vec!["access_token".into()],
            are_default_params: false,
            carriers: Vec::new(),
            forward: false,
            origins: OriginPolicy { enforce: true, allowed: Vec::new() },
            proofs: None,
        }
    }

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        // A safe request, unless `fields` say otherwise.
        let reads = !fields.iter().any(|(name, _)| *name == ":method");
        let method = reads.then_some(&(":method", "GET"));
        RequestHead::new(method.into_iter().chain(fields).map(owned))
    }

    fn has_ended(token: &[u8]) -> bool {
        token.starts_with(b"ended")
    }

    #[test]
    fn urls_in_headers_lose_the_token() {
        for (case, value, expected) in [
            ("none", "https://shop.example/a?x=1", None),
            ("alone", "https://shop.example/a?access_token=t", Some("https://shop.example/a")),
            ("first", "/a?access_token=t&x=1", Some("/a?x=1")),
            ("last", "/a?x=1&access_token=t", Some("/a?x=1")),
            ("twice", "/a?access_token=t&access_token=u&x=1&access_token=v", Some("/a?x=1")),
            ("escaped name", "/a?access%5Ftoken=t#f", Some("/a#f")),
            (
                "in a list",
                "<https://a.example/?access_token=t>; rel=x",
                Some("<https://a.example/>; rel=x"),
            ),
            ("two URLs", "/a?access_token=t, /b?access_token=u", Some("/a /b")),
            ("no query", "access_token=t", None),
            ("a longer name", "/a?my_access_token=t", None),
        ] {
            for name in ["Referer", "x-original-url", "X-Rewrite-URL", "forwarded-uri", "x-any"] {
                let mut sanitized = Sanitized::default();
                sources().sanitize(&head(&[(name, value)]), &mut sanitized).unwrap();
                let expected = expected.map(|text| (name.to_ascii_lowercase().into(), text.into()));
                assert_eq!(sanitized.rewrite, Vec::from_iter(expected), "{case}: {name}");
            }
        }
    }

    #[test]
    fn a_header_that_is_removed_is_not_rewritten() {
        let mut sanitized = Sanitized { clear: FieldNames::of("X-Own"), ..Sanitized::default() };
        sources().sanitize(&head(&[("x-own", "/?access_token=t")]), &mut sanitized).unwrap();
        assert!(sanitized.rewrite.is_empty());
        let field = ("X-Token", "&access_token=t Bearer u");
        sources().sanitize(&head(&[field]), &mut sanitized).unwrap();
        assert!(sanitized.rewrite.is_empty() && sanitized.clear.iter().any(|it| it == "X-Token"));
    }

    // RFC 9110 section 11.1: "It uses a case-insensitive token to identify the
    // authentication scheme" (R36)
    // RFC 6265 section 4.1.1 (R42)
    #[test]
    fn finding_the_token() {
        const MULTIPLE: Result<Option<&str>, &str> = Err("token_multiple");
        const MALFORMED: Result<Option<&str>, &str> = Err("token_malformed");
        for (case, fields, expected) in [
            ("absent", &[][..], Ok(None)),
            ("bearer", &[("authorization", "Bearer a.b.c")], Ok(Some("a.b.c"))),
            ("scheme in any case", &[("Authorization", "bEaReR t")], Ok(Some("t"))),
            ("more than one space", &[("authorization", "Bearer   t ")], Ok(Some("t"))),
            ("another scheme", &[("authorization", "Basic dTpw")], Ok(None)),
            ("a longer scheme", &[("authorization", "BearerX t")], Ok(None)),
            ("scheme alone", &[("authorization", "Bearer")], MALFORMED),
            ("words after it", &[("authorization", "Bearer t u")], MALFORMED),
            ("not ASCII", &[("authorization", "Bearer é")], MALFORMED),
            ("a list", &[("authorization", "Bearer a,Bearer b")], MULTIPLE),
            ("a list, ours behind", &[("authorization", "Basic dTpw, bearer b")], MULTIPLE),
            ("a list without ours", &[("authorization", "Digest a=1, b=2")], Ok(None)),
            ("twice", &[("authorization", "Bearer a"), ("authorization", "Bearer b")], MULTIPLE),
            ("the same twice", &[("authorization", "Bearer a"), ("x-token", "a")], MULTIPLE),
            ("no scheme asked", &[("x-token", "t")], Ok(Some("t"))),
            ("cookie", &[("cookie", "a=b; session=t;c=d")], Ok(Some("t"))),
            ("cookie, another case", &[("cookie", "Session=t")], Ok(None)),
            ("cookie twice", &[("cookie", "session=t; session=u")], MULTIPLE),
            (
                "cookie, sent by another site",
                &[(":method", "POST"), ("cookie", "session=t")],
                Err("origin_forbidden"),
            ),
            ("header, sent by any site", &[(":method", "POST"), ("x-token", "t")], Ok(Some("t"))),
            (
                "cookie in pieces",
                &[("cookie", "session_2=c; session=a; session_1=b")],
                Ok(Some("abc")),
            ),
            (
                "cookie in ten pieces, and one that is none",
                &[(
                    "cookie",
                    "session=0; session_1=1; session_2=2; session_3=3; session_4=4; session_5=5; \
                     session_6=6; session_7=7; session_8=8; session_9=9; session_10=x",
                )],
                Ok(Some("0123456789")),
            ),
            ("a piece is missing", &[("cookie", "session=a; session_2=c")], Ok(Some("a"))),
            ("no first piece", &[("cookie", "session_1=b")], Ok(None)),
            ("a piece twice", &[("cookie", "session=a; session_1=b; session_1=c")], MULTIPLE),
            ("two beginnings", &[("cookie", "session=a; session=b; session_1=c")], MULTIPLE),
            (
                "pieces, from another site",
                &[(":method", "POST"), ("cookie", "session=a; session_1=b")],
                Err("origin_forbidden"),
            ),
            ("cookie, spaces around", &[("cookie", "session = t ")], Ok(Some("t"))),
            ("cookie twice, one with spaces", &[("cookie", "session=t; session =u")], MULTIPLE),
            ("cookie, quoted", &[("cookie", "session=\"t\"")], MALFORMED),
            ("cookie, empty", &[("cookie", "session=")], Ok(None)),
            (
                "cookie, empty, and header",
                &[("cookie", "session="), ("x-token", "t")],
                Ok(Some("t")),
            ),
            ("cookie, ended", &[("cookie", "session=ended")], Ok(Some("ended"))),
            (
                "cookie, ended twice",
                &[("cookie", "session=ended; session=ended2")],
                Ok(Some("ended")),
            ),
            ("ended, then good", &[("cookie", "session=ended; session=t")], Ok(Some("t"))),
            ("good, then ended", &[("cookie", "session=t; session=ended")], Ok(Some("t"))),
            ("good and unreadable", &[("cookie", "session=t; session=!")], MULTIPLE),
            (
                "good twice, and ended",
                &[("cookie", "session=t; session=ended; session=u")],
                MULTIPLE,
            ),
            ("unreadable twice", &[("cookie", "session=\"x\"; session=\"y\"")], MULTIPLE),
            (
                "ended, and a header",
                &[("cookie", "session=ended"), ("x-token", "t")],
                Ok(Some("t")),
            ),
            ("ended headers are two", &[("x-token", "ended"), ("x-token", "t")], MULTIPLE),
            (
                "a cookie beside another scheme, sent by another site",
                &[(":method", "POST"), ("authorization", "Basic dTpw"), ("cookie", "session=t")],
                Err("origin_forbidden"),
            ),
            ("cookie, a prefix of its name", &[("cookie", "__Host-session=t; sess=u")], Ok(None)),
            ("cookie and header", &[("cookie", "session=t"), ("x-token", "t")], MULTIPLE),
            ("cookie in two fields", &[("cookie", "session=t"), ("cookie", "session=t")], MULTIPLE),
            ("parameter", &[(":path", "/a?x=1&access_token=t")], Ok(Some("t"))),
            ("parameter, escaped", &[(":path", "/a?access%5Ftoken=%74")], Ok(Some("t"))),
            ("parameter, empty", &[(":path", "/a?access_token=")], MALFORMED),
            ("header and parameter", &[("x-token", "t"), (":path", "/?access_token=t")], MULTIPLE),
        ] {
            let head = head(fields);
            let found = sources().find(&head, false, &has_ended).and_then(|token| {
                token.as_deref().map_or(Ok(()), check_form)?;
                Ok(token)
            });
            let text =
                found.as_ref().map(|it| it.as_ref().map(|it| std::str::from_utf8(it).unwrap()));
            assert_eq!(text.map_err(|denial| denial.code().name()), expected, "{case}");
        }
    }

    #[test]
    fn the_token_goes_no_further() {
        for (case, fields, expected) in [
            ("none", &[("accept", "*/*")][..], Sanitized::default()),
            (
                "bearer",
                &[("authorization", "Bearer t")],
                Sanitized { clear: FieldNames::of("authorization"), ..Sanitized::default() },
            ),
            ("another scheme stays", &[("authorization", "Basic x")], Sanitized::default()),
            (
                "bearer in a list",
                &[("authorization", "Basic x,Bearer t")],
                Sanitized { clear: FieldNames::of("authorization"), ..Sanitized::default() },
            ),
            (
                "cookie among others",
                &[("cookie", "a=b; session=t; c=d")],
                Sanitized {
                    rewrite: vec![("cookie".into(), b"a=b; c=d".to_vec())],
                    ..Sanitized::default()
                },
            ),
            (
                "parameter among others",
                &[(":path", "/a?x=1&access_token=t&y=2")],
                Sanitized { path: Some(b"/a?x=1&y=2".to_vec()), ..Sanitized::default() },
            ),
            (
                "the only parameter",
                &[(":path", "/a?access_token=t")],
                Sanitized { path: Some(b"/a".to_vec()), ..Sanitized::default() },
            ),
        ] {
            let mut sanitized = Sanitized::default();
            sources().sanitize(&head(fields), &mut sanitized).unwrap();
            assert_eq!(sanitized, expected, "{case}");
        }
    }

    #[test]
    fn what_was_ignored_goes_no_further() {
        let defaults = TokenSources { are_default_params: true, ..sources() };
        let token = ("authorization", "Bearer t");
        for (case, fields, path, cookie) in [
            ("one", vec![token], None, None),
            ("a cookie alone", vec![("cookie", "session=t")], None, None),
            ("an empty one", vec![token, ("cookie", "session=; a=1")], None, None),
            ("another", vec![token, ("cookie", "a=1; session=ended")], None, Some("a=1")),
            ("two", vec![("cookie", "session=ended; a=1; session=t")], None, Some("a=1")),
            ("in the query", vec![token, (":path", "/?x=1&access_token=u")], Some("/?x=1"), None),
        ] {
            let (head, mut sanitized) = (head(&fields), Sanitized::default());
            defaults.sanitize_ignored(&head, true, &mut sanitized);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            assert_eq!(sanitized.path.as_deref().map(text).as_deref(), path, "{case}");
            let cookies: Vec<_> = sanitized.rewrite.iter().map(|(_, it)| text(it)).collect();
            assert_eq!(cookies.first().map(String::as_str), cookie, "{case}");
            assert!(cookies.len() < 2, "{case}");
        }
    }

    /// As in `value_prefix` of Envoy's `jwt_authn`.
    #[test]
    fn prefixes() {
        let kubernetes = "base64url.bearer.authorization.k8s.io.";
        for (case, prefixes, value, expected) in [
            ("no space implied", &["token="][..], "token=a.b.c", Some("a.b.c")),
            ("another prefix", &["token="], "tok=a.b.c", None),
            ("dots", &[kubernetes], "base64url.bearer.authorization.k8s.io.abc", Some("abc")),
            ("a scheme without its space", &["Bearer"], "Bearer a.b.c", Some("a.b.c")),
            ("the same, written together", &["Bearer"], "Bearera.b.c", Some("a.b.c")),
            ("a scheme is a word", &["Bearer "], "Bearera.b.c", None),
            ("the longer one", &["", "JWT ", "JWT token="], "JWT token=a", Some("a")),
            ("whichever fits", &["JWT token=", "JWT "], "JWT a", Some("a")),
            ("none of them but the value", &["Bearer ", ""], "a.b.c", Some("a.b.c")),
        ] {
            let source = |prefix: &&str| HeaderSource {
                name: HeaderName::parse("x-jwt").unwrap(),
                prefix: (*prefix).to_owned(),
            };
            let headers = prefixes.iter().map(source).collect();
            let sources = TokenSources { headers, ..sources() };
            let head = head(&[("x-jwt", value)]);
            let found = sources.find(&head, false, &has_ended).unwrap();
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{case}");
            let mut sanitized = Sanitized::default();
            sources.sanitize(&head, &mut sanitized).unwrap();
            assert!(sanitized.clear.iter().eq(["x-jwt"]), "{case}: it goes, whatever is in it");
        }
    }

    #[test]
    fn what_stays_of_authorization() {
        for (value, stays) in [
            ("Basic dTpw", true),
            ("Digest a=1, b=2", true),
            ("Bearer a.b.c", false),
            ("DPoP a.b.c", false),
            ("a.b.c", false),
            ("Basic", false),
            ("", false),
            ("\"x\" y", false),
            ("Basic dTpw, Bearer a.b.c", false),
        ] {
            let mut sanitized = Sanitized::default();
            sources().sanitize(&head(&[("authorization", value)]), &mut sanitized).unwrap();
            assert_eq!(sanitized.clear.is_empty(), stays, "{value:?}");
        }
    }

    #[test]
    fn all_pieces_of_a_cookie_go() {
        let mut sanitized = Sanitized::default();
        let cookies = "a=1; session_1=y; session=x; session_3=z; session_10=b; session_x=c";
        sources().sanitize(&head(&[("cookie", cookies)]), &mut sanitized).unwrap();
        let kept = "a=1; session_10=b; session_x=c";
        assert_eq!(sanitized.rewrite, [("cookie".into(), kept.into())]);
    }
}
