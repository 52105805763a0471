//! Envoy's own responses in place of a service that it cannot reach.
//!
//! A callout cannot tell them from the service's by status (503, 504). Envoy's own have a
//! text with the cause, which tells an operator where to look.

use std::fmt;

/// Why Envoy got no response from a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// The connection was refused.
    Refused,
    /// Connecting timed out.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// The connection failed; Envoy does not report the reason since 1.40.
    NotConnected,
    /// The connection was reset before the reply.
    Reset,
    /// The cluster's circuit breakers are open.
    Overflow,
    /// The cluster has no healthy endpoint.
    NoEndpoint,
    /// No reply within the service's timeout.
    Timeout,
}

impl Unreached {
    /// The cause, if this is Envoy's own response. One from another Envoy in between
    /// means the same: the service did not respond.
    pub fn of(status: u16, body: &[u8]) -> Option<Self> {
        // In this order: a failed handshake is a failed connection too.
        const REASONS: [(&str, Unreached); 6] = [
            ("TLS_error", Unreached::Tls),
            ("Connection refused", Unreached::Refused),
            ("connection timeout", Unreached::ConnectTimeout),
            ("overflow", Unreached::Overflow),
            ("connection failure", Unreached::NotConnected),
            ("", Unreached::Reset),
        ];
        let text = str::from_utf8(body).ok()?;
        match status {
            503 if text.starts_with("no healthy upstream") => Some(Self::NoEndpoint),
            503 if text.starts_with("upstream connect error or disconnect/reset") => {
                REASONS.iter().find(|(words, _)| text.contains(words)).map(|(_, reason)| *reason)
            }
            504 if text == "upstream request timeout" => Some(Self::Timeout),
            _ => None,
        }
    }
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "the connection was refused: nothing listens at its address",
            Self::ConnectTimeout => "no connection in time: its address does not answer",
            Self::Tls => "the TLS handshake failed: see the cluster's transport_socket",
            Self::NotConnected => {
                "no connection to its address: refused, or the TLS handshake failed, if \
                 ssl.fail_verify_error, ssl.fail_verify_san or ssl.connection_error of the cluster \
                 has grown in Envoy's /stats"
            }
            Self::Reset => "the connection ended before the reply",
            Self::Overflow => {
                "the cluster's circuit breaker is open: too many requests or \
                               connections at once"
            }
            Self::NoEndpoint => "the cluster has no healthy endpoint",
            Self::Timeout => "no reply within timeout_ms",
        })?;
        let status = if matches!(self, Self::Timeout) { 504 } else { 503 };
        write!(f, " (the {status} is the proxy's own, not the service's)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy's own responses, before 1.40 with the reason of a failed connection, and
    /// responses of services.
    #[test]
    fn the_proxys_own_answers_are_told_apart() {
        const RESET: &str =
            "upstream connect error or disconnect/reset before headers. reset reason: ";
        for (case, status, text, expected) in [
            (
                "refused",
                503,
                "remote connection failure, transport failure reason: delayed connect error: \
                 Connection refused",
                Some(Unreached::Refused),
            ),
            (
                "an address that is nobody's",
                503,
                "connection timeout",
                Some(Unreached::ConnectTimeout),
            ),
            (
                "a certificate of another name",
                503,
                "remote connection failure, transport failure reason: TLS_error:|268435581:SSL \
                 routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
                Some(Unreached::Tls),
            ),
            ("closed", 503, "connection termination", Some(Unreached::Reset)),
            ("too many", 503, "overflow", Some(Unreached::Overflow)),
            ("Envoy 1.40", 503, "remote connection failure", Some(Unreached::NotConnected)),
            ("another status", 502, "connection termination", None),
        ] {
            assert_eq!(
                Unreached::of(status, format!("{RESET}{text}").as_bytes()),
                expected,
                "{case}"
            );
        }
        for (case, status, text, expected) in [
            ("no endpoints", 503, "no healthy upstream", Some(Unreached::NoEndpoint)),
            ("too slow", 504, "upstream request timeout", Some(Unreached::Timeout)),
            ("a service's own", 503, r#"{"error": "maintenance"}"#, None),
            ("a service's own time-out", 504, "database timeout", None),
            ("nothing at all", 503, "", None),
        ] {
            assert_eq!(Unreached::of(status, text.as_bytes()), expected, "{case}");
        }
    }
}
