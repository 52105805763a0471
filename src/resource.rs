//! The resources behind the gateway, as clients see them: the metadata of each, for
//! clients without a token (RFC 9728, OAuth 2.0 Protected Resource Metadata), and the
//! requirements for its tokens.
//!
//! Clients compare the identifier of a resource byte for byte, and people type addresses
//! with or without a trailing slash. So each spelling has a document of its own, at its
//! own path, that names itself.

use std::net::IpAddr;
use std::rc::Rc;

use crate::denial::Denial;
use crate::http::{Authority, Document, LocalReply, RequestHead};
use crate::overrides::Overrides;
use crate::rules::{Rule, Rules};
use crate::token::{Found, Provider, ProviderId, Rejection, Verified};

/// The path of the documents (RFC 9728 section 3): this, followed by the path of the
/// resource.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Where clients look for an authorization server (RFC 8414 section 3, OpenID Connect
/// Discovery section 4).
const AUTHORIZATION_SERVER: [&[u8]; 2] =
    [b"/.well-known/oauth-authorization-server", b"/.well-known/openid-configuration"];

/// One of `resources` in the configuration.
#[derive(Debug)]
pub struct Resource {
    /// Its identifier as configured; unique.
    pub name: String,
    /// Its parsed identifier.
    pub location: Location,
    /// The providers whose tokens are accepted for it; all if empty.
    pub providers: Vec<ProviderId>,
    /// Accepted values of `aud`, instead of the provider's.
    pub audiences: Vec<String>,
    /// The scopes that a client should request initially.
    pub scopes: Vec<String>,
    /// The identity for the services behind it, if it differs from the default.
    pub identity: Option<Rc<Overrides>>,
    /// Its document in both spellings: without and with a trailing slash.
    pub documents: [Document; 2],
}

/// The parts of a resource's identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Scheme and authority, as configured.
    pub origin: String,
    /// The host.
    pub host: String,
    /// The path, without a trailing slash; empty for an origin.
    pub path: String,
    /// Whether it is written with a trailing slash.
    pub ends_in_slash: bool,
}

impl Location {
    /// Parses an identifier (RFC 9728 section 1.2): an `https` URL, or an `http` one of a
    /// loopback host, without a query and a fragment.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let host = std::str::from_utf8(Authority::configured(authority.as_bytes())?.host).ok()?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_loopback = host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback());
        let is_scheme = scheme == "https" || scheme == "http" && is_loopback;
        let is_path =
            path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"\\".contains(&byte));
        let without = path.strip_suffix('/');
        (is_scheme && is_path).then(|| Self {
            origin: format!("{scheme}://{authority}"),
            host: host.to_ascii_lowercase(),
            path: without.unwrap_or(path).to_owned(),
            ends_in_slash: without.is_some(),
        })
    }

    /// The identifier with or without a trailing slash.
    pub fn identifier(&self, with_slash: bool) -> String {
        format!("{}{}{}", self.origin, self.path, if with_slash { "/" } else { "" })
    }

    /// The identifiers in the two documents, in the order of [`Resource::documents`]. For
    /// an origin both spellings share a path, whose document has the configured one.
    pub fn identifiers(&self) -> [String; 2] {
        let of_first = self.path.is_empty() && self.ends_in_slash;
        [self.identifier(of_first), self.identifier(true)]
    }

    fn is_host_of(&self, head: &RequestHead) -> bool {
        let asked = head.authority();
        asked.is_some_and(|asked| asked.host.eq_ignore_ascii_case(self.host.as_bytes()))
    }
}

impl Resource {
    /// The URL of the document that a client gets for the address it used.
    pub fn metadata_url(&self, head: &RequestHead) -> String {
        let Location { origin, path, ends_in_slash, .. } = &self.location;
        let asked = head.target().path;
        let rest = asked.strip_prefix(path.as_bytes()).filter(|_| !path.is_empty());
        let with_slash = match rest {
            Some(b"") => false,
            Some(b"/") => true,
            _ => *ends_in_slash && !path.is_empty(),
        };
        format!("{origin}{WELL_KNOWN}{path}{}", if with_slash { "/" } else { "" })
    }

    /// Checks that a token's provider may issue tokens for it. Its audience is checked by
    /// [`Audience::check`](crate::token::Audience::check).
    pub fn check_provider(&self, provider: ProviderId) -> Result<(), Rejection> {
        let is_known = self.providers.is_empty() || self.providers.contains(&provider);
        if is_known { Ok(()) } else { Err(Rejection::IssuerUnknown(Found::of(None))) }
    }

    /// Checks that a verified token, perhaps verified for another resource, is for this
    /// one.
    pub fn check(&self, token: &Verified) -> Result<(), Rejection> {
        self.check_provider(token.provider())?;
        token.audience().check(&self.audiences)
    }

    /// The reply to a request for its document, with CORS open: clients may be web pages,
    /// and send a header of their own.
    fn reply(&self, head: &RequestHead, with_slash: bool) -> LocalReply {
        let [without, with] = &self.documents;
        let reply = match head.method() {
            b"OPTIONS" => LocalReply::new(204)
                .with_header("access-control-allow-methods", METHODS)
                .with_header("access-control-allow-headers", "*")
                .with_header("cache-control", "public, max-age=300"),
            b"GET" | b"HEAD" => if with_slash { with } else { without }.reply(head),
            _ => LocalReply::new(405).with_header("allow", METHODS),
        };
        reply.with_header("access-control-allow-origin", "*")
    }
}

/// The audiences of which a token must have one: those of the resource that the request is
/// for, else those of its provider. `None` if it may have any.
pub fn accepted_audiences<'a>(
    resource: Option<&'a Resource>,
    provider: &'a Provider,
) -> Option<&'a [String]> {
    let audiences = resource.map(|resource| &resource.audiences);
    audiences.or(provider.audiences.as_ref()).map(Vec::as_slice)
}

/// The methods for the documents.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// All resources, and the lookup for a request.
#[derive(Debug, Default)]
pub struct Resources {
    /// The requests that each one covers, in their order.
    rules: Rules,
    resources: Vec<Rc<Resource>>,
}

impl Resources {
    /// Each resource covers the requests that the rule at its position matches; if two
    /// cover a request, the first one counts.
    pub fn new(rules: Rules, resources: Vec<Resource>) -> Self {
        Self { rules, resources: resources.into_iter().map(Rc::new).collect() }
    }

    /// The requests that a resource covers: its host, on any port, and its path with
    /// everything below it. `None` for a path that servers read differently.
    pub fn coverage(location: &Location) -> Option<Rule> {
        Rule::for_all_below(&location.host, &location.path)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// The resource of a request. A request that some reader may take for another
    /// resource's is denied, as with rules.
    pub fn find(&self, head: &RequestHead) -> Result<Option<&Rc<Resource>>, Denial> {
        if self.resources.is_empty() {
            return Ok(None);
        }
        let found = self.rules.find(head)?;
        Ok(found.and_then(|(position, _)| self.resources.get(position)))
    }

    /// The reply to a request for one of the documents.
    pub fn published(&self, head: &RequestHead) -> Option<LocalReply> {
        if self.resources.is_empty() {
            return None;
        }
        let asked = head.target().path.strip_prefix(WELL_KNOWN.as_bytes())?;
        self.on_host(head).find_map(|resource| {
            match asked.strip_prefix(resource.location.path.as_bytes())? {
                b"" => Some(resource.reply(head, false)),
                b"/" => Some(resource.reply(head, true)),
                _ => None,
            }
        })
    }

    /// Whether a request looks for something that the gateway is not, on the host of a
    /// resource: an authorization server, or a resource that is not configured. A client
    /// that got 401 there would try to register at the gateway.
    pub fn denies_to_have(&self, head: &RequestHead) -> bool {
        if self.resources.is_empty() {
            return false;
        }
        let path = head.target().path;
        let is_below = |start: &[u8]| {
            let rest = path.strip_prefix(start);
            rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        let [_, appended] = AUTHORIZATION_SERVER;
        self.on_host(head).any(|resource| {
            let below = path.strip_prefix(resource.location.path.as_bytes());
            below == Some(appended)
                || AUTHORIZATION_SERVER.into_iter().any(is_below)
                || is_below(WELL_KNOWN.as_bytes())
        })
    }

    fn on_host(&self, head: &RequestHead) -> impl Iterator<Item = &Resource> {
        let resources = self.resources.iter().map(Rc::as_ref);
        resources.filter(|resource| resource.location.is_host_of(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for (url, accepted) in [
            ("https://shop.example/mcp", true),
            ("https://shop.example", true),
            ("https://shop.example/", true),
            ("https://shop.example:8443/a/b/", true),
            ("http://127.0.0.1:8080/mcp", true),
            ("http://localhost/mcp", true),
            ("http://LOCALHOST/mcp", true),
            ("http://[::1]:80/mcp", true),
            ("http://shop.example/mcp", false),
            ("http://127.example/mcp", false),
            ("http://127.0.0.1.evil.example", false),
            ("ftp://shop.example", false),
            ("https://shop.example/mcp?x=1", false),
            ("https://shop.example/mcp#x", false),
            ("https://user@shop.example/mcp", false),
            ("https:///mcp", false),
            ("https://shop.example/a b", false),
            ("shop.example/mcp", false),
            ("HTTPS://shop.example", false),
        ] {
            assert_eq!(Location::parse(url).is_some(), accepted, "{url}");
        }
    }

    /// RFC 9728 section 3.1, and both spellings of a slash at the end.
    #[test]
    fn both_spellings_name_themselves() {
        for (url, first, second) in [
            ("https://r.example/a", "https://r.example/a", "https://r.example/a/"),
            ("https://r.example/a/", "https://r.example/a", "https://r.example/a/"),
            ("https://r.example", "https://r.example", "https://r.example/"),
            ("https://r.example/", "https://r.example/", "https://r.example/"),
        ] {
            assert_eq!(Location::parse(url).unwrap().identifiers(), [first, second], "{url}");
        }
    }
}
