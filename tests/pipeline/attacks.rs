//! What the promises about resources and identities are attacked with from outside: by
//! clients, by an issuer that is not honest, by a service inside. Written from the
//! manual, not from the code.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use gatepass::host::{RequestId, RequestInfo};
use serde_json::{Value, json};

use crate::support::*;

const MCP: &str = "https://shop.example/mcp";

fn shop(edits: &[(&str, Value)]) -> Value {
    let mut config = local([
        ("/resources", json!([{"resource": MCP, "scopes": ["catalog.read"]}])),
        (
            "/rules",
            json!([{"match": {"path_prefix": "/mcp/orders"},
                "requires": {"scopes_all": ["orders.write"]}}]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    config
}

/// A resource is what its address leads to, however that is spelled: a token for the rest
/// of the host is refused there.
#[test]
fn an_address_spelled_in_another_way_is_the_same_resource() {
    let elsewhere = format!("Bearer {}", token(json!({"aud": "shop-api"})));
    for host in
        ["shop.example", "SHOP.EXAMPLE", "shop.example:443", "shop.example.", "shop.example.:8443"]
    {
        for path in [
            "/mcp",
            "/mcp/",
            "/mcp/x",
            "/mcp?x",
            "/mcp//x",
            "/./mcp",
            "/x/../mcp",
            "/%6dcp",
            "/MCP",
            "/mcp;a",
            "/mcp%2fx",
            "/mcp\\x",
        ] {
            let mut world = World::new(&shop(&[]), ENVOY);
            let mut ask = |path: &str| {
                let fields = [(":path", path), (":authority", host), ("authorization", &elsewhere)];
                world.begin(head(&fields))
            };
            // The same token passes at its own place.
            forwarded(ask("/api"));
            let (status, code) = denied(ask(path));
            let is_about_it = matches!(
                (status, code.as_str()),
                (401, "audience_mismatch") | (400, "path_ambiguous" | "host_ambiguous")
            );
            assert!(is_about_it, "{host}{path}: {status} {code}");
        }
    }
}

/// Clients search the whole challenge for parameters.
#[test]
fn an_issuer_cannot_write_a_parameter_of_the_challenge() {
    let mut world = World::new(&shop(&[]), ENVOY);
    for scope in [
        "resource_metadata=https://evil.example/",
        "x error=invalid_token",
        "scope=admin",
        "a\",resource_metadata=\"https://evil.example/",
    ] {
        for claims in [
            json!({"aud": MCP, "scope": scope}),
            json!({"aud": MCP, "scp": [scope]}),
            json!({"aud": format!("resource_metadata={scope}")}),
            json!({"aud": MCP, "iss": "https://auth.example?resource_metadata=x"}),
        ] {
            let bearer = format!("Bearer {}", token(claims.clone()));
            let step = world.begin(head(&[(":path", "/mcp/orders"), ("authorization", &bearer)]));
            let reply = answered(step);
            let challenge = reply_field(&reply, "www-authenticate").unwrap();
            assert!(!challenge.contains("evil"), "{claims}: {challenge}");
            for name in ["realm", "error", "scope", "resource_metadata"] {
                let count = challenge.matches(&format!("{name}=")).count();
                assert!(count <= 1, "{claims}: {challenge}");
            }
        }
    }
}

/// A token in a URL ends up in logs: it counts for a resource where somebody asked for
/// that, and Kong's default for its plugin is nobody's wish.
#[test]
fn no_token_in_a_query_unless_it_is_named() {
    let text = token(json!({"aud": MCP}));
    for (edits, parameter, is_taken) in [
        (vec![], "access_token", false),
        (vec![], "jwt", false),
        (vec![("/token", json!({"from_params": ["access_token"]}))], "access_token", true),
    ] {
        let mut world = World::new(&shop(&edits), ENVOY);
        let step = world.begin(head(&[(":path", &format!("/mcp?{parameter}={text}"))]));
        match is_taken {
            true => drop(forwarded(step)),
            false => assert_eq!(denied(step), denial(401, "token_missing"), "{parameter}"),
        }
        let path = "/.well-known/oauth-protected-resource/mcp";
        let document = answered(world.begin(head(&[(":path", path)]))).body;
        let document: Value = serde_json::from_slice(&document).unwrap();
        let methods = document["bearer_methods_supported"].as_array().cloned().unwrap_or_default();
        assert_eq!(methods.contains(&json!("query")), is_taken, "{document}");
    }
}

/// A provider that the resource does not name issues no tokens for it, whatever they say.
#[test]
fn another_provider_is_none_of_the_resources() {
    let other = json!({"issuer": "https://other.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]}});
    let config = shop(&[
        ("/providers/other", other),
        ("/identity_token/subject", json!("{provider}:{sub}")),
        ("/resources/0/providers", json!(["shop"])),
    ]);
    let mut world = World::new(&config, ENVOY);
    let claims = claims(json!({"iss": "https://other.example", "aud": [MCP, "shop-api"]}));
    let bearer = format!("Bearer {}", KEY_B.token("b", &claims));
    for path in ["/api", "/mcp", "/api", "/mcp"] {
        let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        match path {
            "/mcp" => assert_eq!(denied(step), denial(401, "issuer_unknown")),
            _ => drop(forwarded(step)),
        }
    }
}

/// How often the host was asked about requests.
#[derive(Clone, Debug, Default)]
pub struct Asked(pub Rc<Cell<usize>>);

impl Asked {
    fn one_more<T>(&self) -> Option<T> {
        self.0.set(self.0.get() + 1);
        None
    }
}

impl RequestInfo for Asked {
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        self.one_more()
    }

    fn mcp(&self, _: RequestId, _: &[&str]) -> Option<Vec<u8>> {
        self.one_more()
    }

    fn client_certificate(&self, _: RequestId) -> Option<[u8; 32]> {
        self.one_more()
    }

    fn client_address(&self, _: RequestId) -> Option<IpAddr> {
        self.one_more()
    }

    fn peer_address(&self, _: RequestId) -> Option<IpAddr> {
        self.one_more()
    }
}

/// Whatever of resources, identities and documents is configured, a request that is not
/// about it asks the host nothing, and its identity is minted once.
#[test]
fn who_does_not_use_it_does_not_pay_for_it() {
    let identity = json!({"audiences": ["orders"], "scopes": ["orders"], "claims": []});
    let config = shop(&[
        ("/identity_token/issuer", json!("https://gateway.internal")),
        ("/identity_token/discovery_path", json!("/.well-known/openid-configuration")),
        ("/identity_token/pem_path", json!("/keys.pem")),
        (
            "/rules",
            json!([
                {"match": {"path_prefix": "/orders"}, "identity": identity},
                {"match": {"path_prefix": "/robots"}, "requires": {"actor": {"client_id": ["a"]}}},
            ]),
        ),
    ]);
    for host in HOSTS {
        let asked = Asked::default();
        let mut world = World::asking(&config, host, Box::new(asked.clone()));
        let token = alice();
        let first = world.forwarded(&token);
        let text = field(&first, "x-identity-token");
        for _ in 0..5 {
            assert_eq!(field(&world.forwarded(&token), "x-identity-token"), text, "cached");
        }
        assert_eq!(asked.0.get(), 0);
        // Nor do rules about calls at other paths.
        let mut config = config.clone();
        config["rules"][1] = json!({"match": {"path_prefix": "/mcp", "mcp": {"names": ["a"]}}});
        let mut world = World::asking(&config, host, Box::new(asked.clone()));
        world.forwarded(&token);
        assert_eq!(asked.0.get(), 0);
    }
}
