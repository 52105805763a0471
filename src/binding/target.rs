//! `htu`: the URI that a proof is for, without query and fragment, normalized for
//! comparison (RFC 9449 section 4.3, RFC 3986 sections 6.2.2 and 6.2.3).

use crate::http::{Authority, RequestHead, escaped_byte};

/// The gateway's origin as seen by clients: `public_origin` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicOrigin(String);

impl PublicOrigin {
    /// Parses `https://shop.example` or `https://shop.example:8443`.
    pub fn parse(text: &str) -> Option<Self> {
        let origin = normalized(text.as_bytes())?;
        let (_, authority) = origin.trim_end_matches('/').split_once("://")?;
        Authority::configured(authority.as_bytes())?;
        let has_path = text.splitn(4, '/').nth(3).is_some_and(|path| !path.is_empty());
        let is_plain = !text.contains(['?', '#', ' ']) && !has_path;
        let origin = origin.strip_suffix('/')?.to_owned();
        is_plain.then_some(Self(origin))
    }
}

/// Whether a proof's `htu` is the URI of a request, as the client sees it.
pub(super) fn is_target(htu: &str, head: &RequestHead, origins: &[PublicOrigin]) -> bool {
    let path = head.target().path;
    let Some(named) = normalized(htu.as_bytes()) else { return false };
    let is_it = |uri: Vec<u8>| normalized(&uri).is_some_and(|own| own == named);
    if origins.is_empty() {
        let scheme = head.first(":scheme").unwrap_or_default();
        let authority = head.first(":authority").unwrap_or_default();
        return is_it([scheme, b"://", authority, path].concat());
    }
    origins.iter().any(|PublicOrigin(origin)| is_it([origin.as_bytes(), path].concat()))
}

/// An http URI in the canonical form of its equivalents; `None` if it is not one.
fn normalized(uri: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(uri).ok().filter(|text| text.bytes().all(|b| b > b' '))?;
    let text = text.split(['?', '#']).next()?;
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port: &[u8] = match scheme.as_str() {
        "https" => b"443",
        "http" => b"80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Authority { host, port } = Authority::parse(authority.as_bytes())?;
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let port = port.filter(|port| !port.is_empty() && *port != default_port);
    let port = match port {
        Some(port) => format!(":{}", std::str::from_utf8(port).ok()?),
        None => String::new(),
    };
    Some(format!("{scheme}://{host}{port}{}", without_dots(&unescaped(path)?)))
}

/// Percent-decodes unreserved characters, and writes other escapes in capitals (RFC 3986
/// sections 6.2.2.1 and 6.2.2.2).
fn unescaped(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        if *byte != b'%' {
            if !byte.is_ascii() {
                return None;
            }
            plain.push(char::from(*byte));
            rest = after;
            continue;
        }
        let (byte, after) = escaped_byte(rest)?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            plain.push(char::from(byte));
        } else {
            plain.push_str(&format!("%{byte:02X}"));
        }
        rest = after;
    }
    Some(plain)
}

/// Removes dot segments (RFC 3986 section 5.2.4); an empty path becomes `/`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same() {
        let own = "https://api.example/a/~b";
        for (case, uri, expected) in [
            ("itself", own, true),
            ("case of scheme and host", "HTTPS://API.Example/a/~b", true),
            ("the default port", "https://api.example:443/a/~b", true),
            ("an empty port", "https://api.example:/a/~b", true),
            ("an escape that is not needed", "https://api.example/a/%7eb", true),
            ("query and fragment", "https://api.example/a/~b?x=1#f", true),
            ("a fragment with a query", "https://api.example/a/~b#f?x", true),
            ("dots", "https://api.example/x/.././a/./~b", true),
            ("another port", "https://api.example:444/a/~b", false),
            ("another scheme", "http://api.example/a/~b", false),
            ("another host", "https://api.example.evil/a/~b", false),
            ("a user", "https://api.example@evil.example/a/~b", false),
            ("case of the path", "https://api.example/A/~b", false),
            ("a slash more", "https://api.example/a/~b/", false),
            ("an escaped slash", "https://api.example/a%2F~b", false),
            ("a broken escape", "https://api.example/a/%7", false),
            ("a space", "https://api.example/a/~b ", false),
            ("no host", "https:///a/~b", false),
            ("no scheme", "//api.example/a/~b", false),
            ("nothing", "", false),
        ] {
            let is_same = normalized(uri.as_bytes()) == normalized(own.as_bytes());
            assert_eq!(is_same, expected, "{case}: {:?}", normalized(uri.as_bytes()));
        }
        assert_eq!(normalized(b"https://a").as_deref(), Some("https://a/"));
        assert_eq!(normalized(b"https://a/%2e%2E/%c3%a9/..").as_deref(), Some("https://a/"));
        assert_eq!(normalized("https://a/é".as_bytes()), None);
    }

    #[test]
    fn origins() {
        for (text, expected) in [
            ("https://Shop.example", Some("https://shop.example")),
            ("https://shop.example:443/", Some("https://shop.example")),
            ("http://shop.example:8080", Some("http://shop.example:8080")),
            ("https://shop.example/a", None),
            ("https://shop.example?x", None),
            ("ftp://shop.example", None),
            ("shop.example", None),
        ] {
            let parsed = PublicOrigin::parse(text);
            assert_eq!(parsed.as_ref().map(|it| it.0.as_str()), expected, "{text}");
        }
    }
}
