//! Headers that the gateway must not own: they have a meaning for HTTP, browsers, the
//! host, or other proxies.
//!
//! The gateway removes a client's value of an owned header and writes claims into it.
//! For these headers that would break the request, or let a claim set the client
//! address, path or certificate that a service sees.

use crate::http::{HeaderName, is_spelled};

/// Headers with one meaning.
struct Kind {
    meaning: &'static str,
    names: &'static [&'static str],
    prefixes: &'static [&'static str],
}

/// Headers in which an authenticating proxy passes on the user, although their names
/// begin like those of another kind: exactly the purpose of this gateway.
const OF_USERS: [&str; 5] = [
    "x-forwarded-access-token",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
];

/// Besides those that [`HeaderName::parse`] refuses.
const KINDS: [Kind; 6] = [
    Kind {
        meaning: "HTTP's own",
        names: &[
            "accept",
            "age",
            "allow",
            "alt-svc",
            "alt-used",
            "cache-control",
            "content-digest",
            "content-disposition",
            "content-encoding",
            "content-language",
            "content-location",
            "content-md5",
            "content-range",
            "content-type",
            "cookie",
            "cookie2",
            "date",
            "digest",
            "early-data",
            "expect",
            "from",
            "http2-settings",
            "last-event-id",
            "max-forwards",
            "origin",
            "pragma",
            "prefer",
            "priority",
            "range",
            "referer",
            "repr-digest",
            "set-cookie",
            "trailers",
            "user-agent",
            "warning",
            "www-authenticate",
        ],
        prefixes: &["accept-", "access-control-", "grpc-", "if-", "proxy-", "sec-"],
    },
    Kind {
        meaning: "how proxies say where a request came from",
        names: &[
            "cf-connecting-ip",
            "cf-connecting-ipv6",
            "client-ip",
            "fastly-client-ip",
            "fly-client-ip",
            "forwarded",
            "front-end-https",
            "true-client-ip",
            "via",
            "x-azure-clientip",
            "x-azure-socketip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-forwarded",
            "x-host",
            "x-proxyuser-ip",
            "x-real-ip",
            "x-remote-addr",
            "x-remote-ip",
            "x-scheme",
            "x-url-scheme",
        ],
        prefixes: &["x-forwarded-"],
    },
    Kind {
        meaning: "how proxies say what was asked for before they changed it",
        names: &[
            "x-http-method",
            "x-http-method-override",
            "x-method-override",
            "x-override-url",
            "x-script-name",
        ],
        prefixes: &["x-original-", "x-rewrite-"],
    },
    Kind {
        meaning: "how proxies pass on a client's certificate",
        names: &["client-cert", "client-cert-chain", "x-client-cert", "x-client-dn"],
        prefixes: &["ssl-client-", "x-ssl-client-"],
    },
    Kind {
        meaning: "what a request is traced by",
        names: &[
            "b3",
            "baggage",
            "traceparent",
            "tracestate",
            "uber-trace-id",
            "x-amzn-trace-id",
            "x-client-trace-id",
            "x-cloud-trace-context",
            "x-ot-span-context",
            "x-request-id",
        ],
        prefixes: &["x-b3-"],
    },
    Kind { meaning: "the host's own", names: &[], prefixes: &["x-envoy-", "x-istio-", "x-kong-"] },
];

/// The existing meaning of a header, in any spelling that services accept; `None` if
/// the gateway may own it.
pub fn meaning(name: &HeaderName) -> Option<&'static str> {
    let name = name.as_str().as_bytes();
    let is = |known: &&str| is_spelled(known.as_bytes(), name);
    let begins = |prefix: &&str| {
        name.get(..prefix.len()).is_some_and(|start| is_spelled(prefix.as_bytes(), start))
    };
    if OF_USERS.iter().any(is) {
        return None;
    }
    let kind =
        KINDS.iter().find(|kind| kind.names.iter().any(is) || kind.prefixes.iter().any(begins));
    kind.map(|kind| kind.meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved() {
        for (name, expected) in [
            ("x-original-url", true),
            ("X-Rewrite-URL", true),
            ("x_forwarded_for", true),
            ("x.forwarded.anything", true),
            ("x-forwarded-client-cert", true),
            ("x-real-ip", true),
            ("x-request-id", true),
            ("x-envoy-external-address", true),
            ("x-envoy-anything", true),
            ("if-none-match", true),
            ("sec-fetch-site", true),
            ("x-forwarded-user", false),
            ("x-forwarded-email", false),
            ("x-user-country", false),
            ("x-forwardedness", false),
            ("x-envoyage", false),
            ("iffy", false),
            ("remote-user", false),
            ("x-auth-request-user", false),
        ] {
            let name = HeaderName::parse(name).unwrap();
            assert_eq!(meaning(&name).is_some(), expected, "{name}");
        }
    }
}
