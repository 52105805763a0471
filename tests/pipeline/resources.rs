//! Resources: their metadata (RFC 9728), the challenges that lead to it, and the
//! audience of tokens by resource and by rule (RFC 8707).

use std::collections::HashMap;

use gatepass::http::LocalReply;
use serde_json::{Value, json};

use crate::support::*;

const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";
const MCP: &str = "https://shop.example/mcp";

/// Two resources on one host, one token each; the rest of the host is none.
fn shop(edits: &[(&str, Value)]) -> Value {
    let mut config = local([
        (
            "/resources",
            json!([
                {"resource": MCP, "name": "Shop tools", "scopes": ["catalog.read"],
                    "documentation": "https://shop.example/docs"},
                {"resource": "https://shop.example/mcp/admin/", "audiences": ["admin-api"]},
            ]),
        ),
        (
            "/rules",
            json!([
                {"match": {"path": "/mcp/orders"}, "requires": {"scopes_all": ["orders.write"]}},
                {"match": {"path": "/mcp/any"},
                    "requires": {"scopes_all": ["a"], "scopes_any": ["b", "c"]}},
                {"match": {"path": "/mcp/staff"}, "requires": {"groups_any": ["staff"]}},
                {"match": {"path": "/only-orders"}, "requires": {"audiences": ["orders-api"]}},
            ]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    config
}

fn ask(world: &mut World, method: &str, path: &str) -> LocalReply {
    answered(world.begin(head(&[(":method", method), (":path", path)])))
}

fn header<'a>(reply: &'a LocalReply, name: &str) -> Option<&'a str> {
    let values: Vec<_> = reply.headers.iter().filter(|(own, _)| own == name).collect();
    assert!(values.len() <= 1, "{name} twice");
    values.first().map(|(_, value)| value.as_str())
}

fn request(path: &str, token: Option<&str>) -> gatepass::http::RequestHead {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
    head(&[&[(":path", path)][..], bearer.as_slice()].concat())
}

/// The challenge's parameters, as the clients' regular expressions find them: the first
/// match in the whole header counts.
fn challenge(reply: &LocalReply) -> HashMap<String, String> {
    let text = header(reply, "www-authenticate").unwrap_or_default();
    let Some(rest) = text.strip_prefix("Bearer ") else { return HashMap::new() };
    let mut parameters = HashMap::new();
    for parameter in rest.split(", ") {
        let (name, value) = parameter.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.expect("quoted").to_owned();
        assert!(!value.contains('"') && !value.is_empty(), "{text}");
        assert!(name == "resource_metadata" || !value.contains('='), "{text}");
        parameters.insert(name.to_owned(), value);
    }
    parameters
}

fn is_open(reply: &LocalReply) {
    assert_eq!(header(reply, "access-control-allow-origin"), Some("*"));
    assert_eq!(header(reply, "www-authenticate"), None);
}

#[test]
fn a_client_finds_out_without_a_token() {
    for host in HOSTS {
        let mut world = World::new(&shop(&[]), host);
        for (path, resource) in [
            (DOCUMENT.to_owned(), MCP.to_owned()),
            (format!("{DOCUMENT}/"), format!("{MCP}/")),
            (format!("{DOCUMENT}?x=1&access_token=a"), MCP.to_owned()),
        ] {
            let reply = ask(&mut world, "GET", &path);
            assert_eq!(reply.status, 200, "{path}");
            is_open(&reply);
            assert_eq!(header(&reply, "content-type"), Some("application/json"));
            assert_eq!(header(&reply, "cache-control"), Some("public, max-age=300"));
            assert_eq!(
                serde_json::from_slice::<Value>(&reply.body).unwrap(),
                json!({
                    "resource": resource, "resource_name": "Shop tools",
                    "resource_documentation": "https://shop.example/docs",
                    "authorization_servers": ["https://auth.example"],
                    "scopes_supported": ["catalog.read"], "bearer_methods_supported": ["header"],
                })
            );
        }
        let reply = ask(&mut world, "GET", "/.well-known/oauth-protected-resource/mcp/admin");
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.body).unwrap(),
            json!({
                "resource": "https://shop.example/mcp/admin",
                "authorization_servers": ["https://auth.example"],
                "bearer_methods_supported": ["header"],
            }),
            "lists that are empty are left out"
        );
    }
}

#[test]
fn the_document_to_every_method_that_clients_use() {
    let mut world = World::new(&shop(&[]), ENVOY);
    let etag = header(&ask(&mut world, "GET", DOCUMENT), "etag").unwrap().to_owned();
    let known = head(&[(":path", DOCUMENT), ("if-none-match", &etag)]);
    let reply = answered(world.begin(known));
    assert_eq!(reply.status, 304);
    is_open(&reply);
    assert_eq!(ask(&mut world, "HEAD", DOCUMENT).status, 200);
    // A preflight: the client's version is in a header of its own.
    let preflight = head(&[
        (":method", "OPTIONS"),
        (":path", DOCUMENT),
        ("origin", "https://inspector.example"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ]);
    let reply = answered(world.begin(preflight));
    assert_eq!(reply.status, 204);
    is_open(&reply);
    assert_eq!(header(&reply, "access-control-allow-headers"), Some("*"));
    let reply = ask(&mut world, "POST", DOCUMENT);
    assert_eq!((reply.status, header(&reply, "allow")), (405, Some("GET, HEAD, OPTIONS")));
}

/// A document comes before tokens and rules: whatever a client sends along.
#[test]
fn the_document_whatever_is_sent_along() {
    let rules = json!([{"match": {"path_prefix": "/"}, "requires": {"scopes_all": ["x"]}}]);
    let mut world = World::new(&shop(&[("/rules", rules)]), KONG);
    let html = ("accept", "text/html");
    for extra in [("authorization", "Bearer a,Bearer b"), ("x-consumer-id", "root"), html] {
        let reply = answered(world.begin(head(&[(":path", DOCUMENT), extra])));
        assert_eq!(reply.status, 200, "{extra:?}");
    }
    // Another host is none of the resource's.
    let other = head(&[(":path", DOCUMENT), (":authority", "other.example")]);
    assert_eq!(answered(world.begin(other)).status, 401);
    let port = head(&[(":path", DOCUMENT), (":authority", "SHOP.example:8443")]);
    assert_eq!(answered(world.begin(port)).status, 200);
}

/// An old client that gets 401 there goes on to register at the gateway.
#[test]
fn no_authorization_server_is_here() {
    let server = "/.well-known/oauth-authorization-server";
    let paths = [
        server,
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/other",
    ];
    let all = json!([{"match": {"path_prefix": "/"}, "requires": {"scopes_all": ["x"]}}]);
    for rules in [json!([]), all] {
        let mut world = World::new(&shop(&[("/rules", rules)]), ENVOY);
        for path in paths {
            let reply = ask(&mut world, "GET", path);
            assert_eq!(reply.status, 404, "{path}");
            is_open(&reply);
        }
        let elsewhere = head(&[(":path", server), (":authority", "auth.example")]);
        assert_eq!(answered(world.begin(elsewhere)).status, 401, "another host");
    }
    let rules = json!([{"match": {"path_prefix": "/.well-known/"}, "bypass": true}]);
    let mut world = World::new(&shop(&[("/rules", rules)]), ENVOY);
    forwarded(world.begin(head(&[(":path", server)])));
    // Without resources there is nobody to be kept from that.
    let mut world = World::new(&local([]), ENVOY);
    assert_eq!(ask(&mut world, "GET", server).status, 401);
}

#[test]
fn challenges_lead_to_the_document() {
    let url = |end: &str| format!("https://shop.example/.well-known/oauth-protected-resource{end}");
    let aud = |audience: &str, scope: &str| token(json!({"aud": audience, "scope": scope}));
    let expired = token(json!({"aud": MCP, "exp": START - 100}));
    let mut world = World::new(&shop(&[]), ENVOY);
    for (case, path, token, status, expected) in [
        (
            "no token",
            "/mcp",
            None,
            401,
            json!({"scope": "catalog.read", "resource_metadata": url("/mcp")}),
        ),
        (
            "with a slash",
            "/mcp/",
            None,
            401,
            json!({"scope": "catalog.read", "resource_metadata": url("/mcp/")}),
        ),
        (
            "below",
            "/mcp/x",
            None,
            401,
            json!({"scope": "catalog.read", "resource_metadata": url("/mcp")}),
        ),
        (
            "the rule's scopes",
            "/mcp/orders",
            None,
            401,
            json!({"scope": "orders.write", "resource_metadata": url("/mcp")}),
        ),
        (
            "all and any",
            "/mcp/any",
            None,
            401,
            json!({"scope": "a b c", "resource_metadata": url("/mcp")}),
        ),
        (
            "no scopes at all",
            "/mcp/admin/x",
            None,
            401,
            json!({"resource_metadata": url("/mcp/admin/")}),
        ),
        (
            "as it was asked for",
            "/mcp/admin",
            None,
            401,
            json!({"resource_metadata": url("/mcp/admin")}),
        ),
        (
            "ended",
            "/mcp",
            Some(expired),
            401,
            json!({"error": "invalid_token", "resource_metadata": url("/mcp")}),
        ),
        (
            "malformed",
            "/mcp",
            Some("x".to_owned()),
            401,
            json!({"error": "invalid_token", "resource_metadata": url("/mcp")}),
        ),
        (
            "a scope is missing: what the token has stays",
            "/mcp/orders",
            Some(aud(MCP, "catalog.read openid")),
            403,
            json!({"error": "insufficient_scope", "scope": "orders.write catalog.read openid", "resource_metadata": url("/mcp")}),
        ),
        (
            "all that is needed at once",
            "/mcp/any",
            Some(aud(MCP, "x")),
            403,
            json!({"error": "insufficient_scope", "scope": "a b c x", "resource_metadata": url("/mcp")}),
        ),
        (
            "one of some is there",
            "/mcp/any",
            Some(aud(MCP, "c")),
            403,
            json!({"error": "insufficient_scope", "scope": "a c", "resource_metadata": url("/mcp")}),
        ),
        ("no scope would help", "/mcp/staff", Some(aud(MCP, "x")), 403, json!({})),
        ("outside of resources", "/x", None, 401, json!({})),
    ] {
        let reply = answered(world.begin(request(path, token.as_deref())));
        assert_eq!(reply.status, status, "{case}");
        let mut found = challenge(&reply);
        found.remove("error_description");
        if !found.is_empty() {
            assert_eq!(found.remove("realm").as_deref(), Some("gatepass"), "{case}");
        }
        assert_eq!(json!(found), expected, "{case}");
    }
}

/// A token for one resource is refused at the other and outside, and the other way
/// round, whichever of them saw it first.
#[test]
fn a_token_is_for_one_resource() {
    let places = ["/mcp", "/mcp/admin/x", "/api"];
    for (audience, good_at) in [
        (json!(MCP), &["/mcp"][..]),
        (json!("https://shop.example/mcp/"), &["/mcp"]),
        (json!(["x", MCP]), &["/mcp"]),
        (json!("admin-api"), &["/mcp/admin/x"]),
        (json!("shop-api"), &["/api"]),
        (json!("https://shop.example/mcp/admin"), &[]),
        (json!("https://shop.example"), &[]),
        (json!([MCP, "admin-api"]), &["/mcp", "/mcp/admin/x"]),
        (Value::Null, &[]),
        (json!([MCP, 7]), &[]),
    ] {
        let token = token(json!({"aud": audience}));
        for first in 0..places.len() {
            for host in HOSTS {
                let mut world = World::new(&shop(&[]), host);
                for place in places.iter().cycle().skip(first).take(2 * places.len()) {
                    let step = world.begin(request(place, Some(&token)));
                    if good_at.contains(place) {
                        forwarded(step);
                    } else {
                        let (status, code) = denied(step);
                        assert_eq!(status, 401, "{audience} at {place}");
                        let codes = ["audience_mismatch", "claim_missing", "token_malformed"];
                        assert!(codes.contains(&code.as_str()), "{audience} at {place}: {code}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_rule_asks_for_an_audience_too() {
    let mut world = World::new(&shop(&[]), ENVOY);
    let both = token(json!({"aud": ["shop-api", "orders-api"]}));
    let one = token(json!({"aud": "shop-api"}));
    let other = token(json!({"aud": "orders-api"}));
    for (token, path, expected) in [
        (&both, "/only-orders", None),
        (&one, "/only-orders", Some((401, "audience_mismatch".to_owned()))),
        (&one, "/x", None),
        (&one, "/only-orders", Some((401, "audience_mismatch".to_owned()))),
        (&other, "/only-orders", Some((401, "audience_mismatch".to_owned()))),
    ] {
        let step = world.begin(request(path, Some(token)));
        match expected {
            Some(expected) => assert_eq!(denied(step), expected, "{path}"),
            None => drop(forwarded(step)),
        }
    }
}

/// What an issuer says of a reference token counts for the resource that was asked
/// for; a refusal there is none elsewhere, and asks nobody again.
#[test]
fn reference_tokens_are_for_one_resource_too() {
    let asked = json!({
        "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s",
    });
    let config = shop(&[("/providers/shop/introspection", asked)]);
    let active = ok(&json!({
        "active": true, "iss": "https://auth.example", "aud": MCP, "sub": "alice",
        "exp": START + 3600,
    }));
    for first in ["/mcp/admin/x", "/api", "/mcp"] {
        let mut world = World::new(&config, ENVOY);
        for path in [first, "/mcp/admin/x", "/api", "/mcp", "/api", "/mcp/admin/x"] {
            let mut step = world.begin(request(path, Some("opaque")));
            if let gatepass::pipeline::Step::Wait(..) = step {
                step = world.answer(step, &active);
            }
            if path == "/mcp" {
                forwarded(step);
            } else {
                assert_eq!(denied(step), (401, "audience_mismatch".to_owned()), "{path}");
            }
        }
        // Each of them was told by now.
        for path in ["/mcp/admin/x", "/api"] {
            denied(world.begin(request(path, Some("opaque"))));
        }
    }
    let mut world = World::new(&config, ENVOY);
    let step = world.begin(request("/mcp", Some("gone")));
    let inactive = ok(&json!({"active": false}));
    assert_eq!(denied(world.answer(step, &inactive)).1, "token_inactive");
    let step = world.begin(request("/api", Some("gone")));
    assert_eq!(denied(step).1, "token_inactive", "known for every resource");
}

#[test]
fn only_the_providers_of_a_resource_issue_tokens_for_it() {
    let partner = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]},
    });
    let config = shop(&[
        ("/providers/partner", partner),
        ("/identity_token/subject", json!("{sub}")),
        ("/resources/0/providers", json!(["shop"])),
        ("/resources/1/authorization_servers", json!(["https://login.example/tenant"])),
    ]);
    let mut world = World::new(&config, ENVOY);
    let of_partner = |aud: Value| {
        KEY_B.token("b", &claims(json!({"iss": "https://partner.example", "aud": aud})))
    };
    let all = of_partner(json!([MCP, "shop-api", "admin-api"]));
    for _ in 0..2 {
        let step = world.begin(request("/mcp", Some(&all)));
        assert_eq!(denied(step), (401, "issuer_unknown".to_owned()));
        forwarded(world.begin(request("/api", Some(&all))));
        forwarded(world.begin(request("/mcp/admin/", Some(&all))));
    }
    let reply = ask(&mut world, "GET", "/.well-known/oauth-protected-resource/mcp/admin/");
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(document["authorization_servers"], json!(["https://login.example/tenant"]));
}

/// A path that some server takes for a resource's is not outside of it.
#[test]
fn resources_have_no_back_door() {
    let mut world = World::new(&shop(&[("/rules", json!([]))]), ENVOY);
    let shop_api = alice();
    for path in ["/MCP", "/x/../mcp", "/mcp%2fadmin", "//mcp", "/%6dcp", "/mcp;x", "/mcp%20"] {
        let (_, code) = denied(world.begin(request(path, Some(&shop_api))));
        assert!(["path_ambiguous", "audience_mismatch"].contains(&code.as_str()), "{path}: {code}");
    }
    let ports = ["shop.example:1", "SHOP.EXAMPLE", "shop.example."];
    for authority in ports {
        let bearer = format!("Bearer {shop_api}");
        let fields = [(":path", "/mcp"), (":authority", authority), ("authorization", &bearer)];
        assert_eq!(denied(world.begin(head(&fields))).1, "audience_mismatch", "{authority}");
    }
    let bearer = format!("Bearer {shop_api}");
    let fields = [(":path", "/mcp"), (":authority", "a@shop.example"), ("authorization", &bearer)];
    assert_eq!(denied(world.begin(head(&fields))).1, "host_ambiguous");
}

/// In a URL a token ends up in logs: only where somebody said so.
#[test]
fn no_token_in_a_query_unless_it_is_named() {
    let legacy = json!({"kind": "kong_jwt"});
    let consumers = json!({"entries": [{"username": "acme", "jwt_secrets": [
        {"key": "acme-key", "secret": "0123456789abcdef0123456789abcdef"}]}], "optional": true});
    let edits = [
        ("/providers/legacy", legacy),
        ("/consumers", consumers),
        ("/identity_token/subject", json!("{sub}")),
        ("/resources/0/providers", json!(["shop"])),
        ("/resources/1/providers", json!(["shop"])),
        ("/errors", json!({"format": "problem"})),
    ];
    let config = shop(&edits);
    let query = |path: &str, name: &str| {
        format!("{path}?{name}={}", token(json!({"aud": [MCP, "shop-api"]})))
    };
    let mut world = World::new(&config, ENVOY);
    let head_of = |path: &str| head(&[(":path", path)]);
    assert_eq!(denied(world.begin(head_of(&query("/mcp", "jwt")))).1, "token_missing");
    forwarded(world.begin(head_of(&query("/api", "jwt"))));
    let mut config = config;
    put(&mut config, "/token", json!({"from_params": ["jwt"]}));
    let mut world = World::new(&config, ENVOY);
    forwarded(world.begin(head_of(&query("/mcp", "jwt"))));
    let reply = ask(&mut world, "GET", DOCUMENT);
    let document: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(document["bearer_methods_supported"], json!(["header", "query"]));
}

/// RFC 9728 section 3.1 and 3.2: the example of a resource with a path, and an origin.
#[test]
fn the_examples_of_the_rfc() {
    let resources = json!([
        {"resource": "https://resource.example.com/resource1"},
        {"resource": "https://resource.example.com", "scopes": ["profile", "email", "phone"],
            "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
            "documentation": "https://resource.example.com/resource_documentation.html"},
    ]);
    let mut world = World::new(&shop(&[("/resources", resources), ("/rules", json!([]))]), ENVOY);
    let mut ask = |path: &str| {
        let fields = [(":path", path), (":authority", "resource.example.com")];
        let reply = answered(world.begin(head(&fields)));
        serde_json::from_slice::<Value>(&reply.body).unwrap()
    };
    let document = ask("/.well-known/oauth-protected-resource/resource1");
    assert_eq!(document["resource"], "https://resource.example.com/resource1");
    assert_eq!(
        ask("/.well-known/oauth-protected-resource"),
        json!({
            "resource": "https://resource.example.com",
            "authorization_servers": ["https://as1.example.com", "https://as2.example.net"],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["profile", "email", "phone"],
            "resource_documentation":
                "https://resource.example.com/resource_documentation.html",
        })
    );
}

/// RFC 9728 section 2: how tokens are bound to their clients.
#[test]
fn the_document_says_how_tokens_are_bound() {
    let proofs = |required: bool| json!({"dpop": {}, "required": required});
    let mtls = |required: bool| json!({"mtls": true, "required": required});
    let both = json!({"mtls": true, "dpop": {}, "required": true});
    let (tls, algorithms, required) = (
        "tls_client_certificate_bound_access_tokens",
        "dpop_signing_alg_values_supported",
        "dpop_bound_access_tokens_required",
    );
    for (binding, expected) in [
        (Value::Null, &[][..]),
        (proofs(false), &[algorithms]),
        (proofs(true), &[algorithms, required]),
        (mtls(false), &[tls]),
        (mtls(true), &[tls]),
        (both, &[algorithms, tls]),
    ] {
        let mut world = World::new(&shop(&[("/providers/shop/binding", binding.clone())]), ENVOY);
        let document: Value =
            serde_json::from_slice(&ask(&mut world, "GET", DOCUMENT).body).unwrap();
        let mut found: Vec<_> = [tls, algorithms, required]
            .into_iter()
            .filter(|name| document.get(name).is_some())
            .collect();
        found.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{binding}");
        if found.contains(&algorithms) {
            assert!(document[algorithms].as_array().unwrap().contains(&json!("ES256")));
        }
    }
}
