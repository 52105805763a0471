//! Addresses of services, in the forms that nginx can connect to.

use gatepass::callout::{Scheme, Service};

/// The values that [`Address::of`] accepts.
pub const ACCEPTED: &str = "host:port, [IPv6]:port or unix:/path";

/// Where to connect to.
#[derive(Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// A host name, an IP address, or `unix:/path`.
    pub host: &'a str,
    /// `None` for a Unix socket.
    pub port: Option<u16>,
}

impl<'a> Address<'a> {
    /// The address of a service; `None` if nginx cannot parse it. The default port is
    /// that of the scheme.
    pub fn of(service: &'a Service) -> Option<Self> {
        let default = match service.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        Self::parse(&service.upstream, default)
    }

    fn parse(text: &'a str, default: u16) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then_some(Self { host: text, port: None });
        }
        // A colon within brackets is part of an IPv6 address.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_address = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
        let is_host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|it| it.bytes().all(is_address)),
            None => !host.is_empty() && host.bytes().all(is_name),
        };
        let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            Some(port) if is_number(port) => port.parse().ok().filter(|port| *port > 0)?,
            Some(_) => return None,
            None => default,
        };
        is_host.then_some(Self { host, port: Some(port) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("users:8080", Some(("users", Some(8080)))),
            ("users.internal", Some(("users.internal", Some(443)))),
            ("127.0.0.1:81", Some(("127.0.0.1", Some(81)))),
            ("[::1]:81", Some(("[::1]", Some(81)))),
            ("[::1]", Some(("[::1]", Some(443)))),
            ("unix:/run/users.sock", Some(("unix:/run/users.sock", None))),
            ("unix:users.sock", None),
            ("http://users", None),
            ("users:", None),
            ("users:+80", None),
            ("users:0", None),
            ("users:65536", None),
            ("outbound|80||users", None),
            (":80", None),
            ("", None),
        ] {
            let found = Address::parse(text, 443).map(|address| (address.host, address.port));
            assert_eq!(found, expected, "{text}");
        }
    }
}
