//! Requests that another site makes a browser send.
//!
//! A browser attaches cookies to any request that a page makes to their host, so a token
//! in a cookie identifies the user, but does not show that the user intended the request
//! (cross-site request forgery). A page cannot forge the headers in which the browser
//! states the origin of the request: `Sec-Fetch-Site` (Fetch Metadata section 2.3) and
//! `Origin` (RFC 6454 section 7).

use crate::denial::Denial;
use crate::http::{Authority, RequestHead};

/// The origins from which requests with a token in a cookie may come: `token.csrf` in the
/// configuration.
#[derive(Debug)]
pub struct OriginPolicy {
    /// Whether origins are checked.
    pub enforce: bool,
    /// Other origins that may make such requests, serialized (RFC 6454 section
    /// 6.2).
    pub allowed: Vec<String>,
}

impl OriginPolicy {
    /// Denies a request with side effects that a page of another site may have made. For
    /// requests whose token is in a cookie.
    ///
    /// A request without these headers is denied: every browser has sent them since 2020,
    /// and other clients can send a bearer token. A sibling (`same-site`) counts as another
    /// site: hosts below one domain need not trust each other.
    pub fn check(&self, head: &RequestHead) -> Result<(), Denial> {
        if !self.enforce || is_safe(head) {
            return Ok(());
        }
        let (origin, site) = (sole(head, "origin")?, sole(head, "sec-fetch-site")?);
        let is_allowed = |origin: &[u8]| {
            self.allowed.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(origin))
        };
        let may_pass = match (site, origin) {
            (_, Some(origin)) if is_allowed(origin) => true,
            // `none`: the user caused it, not a page.
            (Some(site), _) => matches!(site, b"same-origin" | b"none"),
            (None, Some(origin)) => is_own(origin, head),
            (None, None) => false,
        };
        if may_pass { Ok(()) } else { Err(Denial::OriginForbidden) }
    }
}

/// A safe method (RFC 9110 section 9.2.1), and no handshake: the later use of a WebSocket
/// is unknown, and CORS does not keep another site from opening one.
fn is_safe(head: &RequestHead) -> bool {
    matches!(head.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE") && !head.is_upgrade()
}

/// The value of a field that browsers never repeat.
fn sole<'a>(head: &'a RequestHead, name: &'a str) -> Result<Option<&'a [u8]>, Denial> {
    let mut values = head.values(name);
    match (values.next(), values.next()) {
        (only, None) => Ok(only),
        _ => Err(Denial::OriginForbidden),
    }
}

/// True if an origin is the request's own host and port. Schemes are not compared: TLS
/// may be terminated elsewhere.
fn is_own(origin: &[u8], head: &RequestHead) -> bool {
    let (rest, default_port): (_, &[u8]) = match origin {
        [b'h', b't', b't', b'p', b's', b':', b'/', b'/', rest @ ..] => (rest, b"443"),
        [b'h', b't', b't', b'p', b':', b'/', b'/', rest @ ..] => (rest, b"80"),
        _ => return false,
    };
    let (Some(from), Some(own)) = (Authority::parse(rest), head.authority()) else { return false };
    from.host.eq_ignore_ascii_case(own.host)
        && from.port.unwrap_or(default_port) == own.port.unwrap_or(default_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let pseudo = [(":method", "POST"), (":authority", "shop.example")];
        let missing =
            pseudo.iter().filter(|(name, _)| !fields.iter().any(|(other, _)| other == name));
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        RequestHead::new(missing.chain(fields).map(owned))
    }

    #[test]
    fn who_may_use_a_cookie() {
        const SITE: &str = "sec-fetch-site";
        for (case, fields, may) in [
            ("nobody says", &[][..], false),
            ("same origin", &[(SITE, "same-origin")], true),
            ("the user", &[(SITE, "none")], true),
            ("a sibling", &[(SITE, "same-site")], false),
            ("another site", &[(SITE, "cross-site")], false),
            ("a word of no meaning", &[(SITE, "Same-Origin")], false),
            ("twice", &[(SITE, "same-origin"), (SITE, "cross-site")], false),
            ("a list", &[(SITE, "same-origin, cross-site")], false),
            ("own origin", &[("origin", "https://shop.example")], true),
            ("without TLS", &[("origin", "http://shop.example")], true),
            ("in capitals", &[("origin", "https://SHOP.example")], true),
            ("default port", &[("origin", "https://shop.example:443")], true),
            ("another port", &[("origin", "https://shop.example:8443")], false),
            ("port of the other scheme", &[("origin", "http://shop.example:443")], false),
            (
                "own port",
                &[("origin", "http://shop.example:81"), (":authority", "shop.example:81")],
                true,
            ),
            (
                "own default port",
                &[("origin", "http://shop.example"), (":authority", "shop.example:80")],
                true,
            ),
            ("another host", &[("origin", "https://evil.example")], false),
            ("our name below", &[("origin", "https://shop.example.evil.example")], false),
            ("below our name", &[("origin", "https://evil.shop.example")], false),
            ("our name before @", &[("origin", "https://shop.example@evil.example")], false),
            ("with a path", &[("origin", "https://shop.example/")], false),
            ("null", &[("origin", "null")], false),
            ("empty", &[("origin", "")], false),
            ("no scheme", &[("origin", "shop.example")], false),
            ("another scheme", &[("origin", "ftp://shop.example")], false),
            (
                "two origins",
                &[("origin", "https://shop.example"), ("origin", "https://evil.example")],
                false,
            ),
            ("a list", &[("origin", "https://shop.example https://evil.example")], false),
            ("no host", &[("origin", "https://"), (":authority", "")], false),
            ("allowed", &[("origin", "https://app.example")], true),
            ("allowed, a sibling", &[("origin", "https://app.example"), (SITE, "same-site")], true),
            (
                "ours, says the origin alone",
                &[("origin", "https://shop.example"), (SITE, "cross-site")],
                false,
            ),
            (
                "proxies may change the host",
                &[("origin", "https://public.example"), (SITE, "same-origin")],
                true,
            ),
            ("reading", &[(":method", "GET"), (SITE, "cross-site")], true),
            ("reading the head", &[(":method", "HEAD")], true),
            ("another case is another method", &[(":method", "get")], false),
            ("no method", &[(":method", "")], false),
            ("connecting", &[(":method", "CONNECT")], false),
            ("a handshake", &[(":method", "GET"), ("Upgrade", "websocket")], false),
            (
                "a handshake of another site",
                &[(":method", "GET"), ("upgrade", "websocket"), ("origin", "https://evil.example")],
                false,
            ),
            (
                "a handshake of ours",
                &[(":method", "GET"), ("upgrade", "websocket"), ("origin", "https://shop.example")],
                true,
            ),
        ] {
            let allowed = vec!["https://app.example".to_owned()];
            let policy = OriginPolicy { enforce: true, allowed };
            assert_eq!(policy.check(&head(fields)).is_ok(), may, "{case}");
            let waived = OriginPolicy { enforce: false, allowed: Vec::new() };
            assert_eq!(waived.check(&head(fields)), Ok(()), "{case}, waived");
        }
    }
}
