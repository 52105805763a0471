//! Denials among Envoy's filters that make gRPC of something else: whatever the
//! order, client and status agree, as they do with Envoy's own `jwt_authn` in
//! the same place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chains::{self, filter, gatepass, send};
use crate::gateway::Gateway;
use crate::protobuf::delimited;
use crate::wire::{Answer, Request};

const KEY: &str = "AyM32w-1kvLyM3Q0xqVJ3sHGtbVhcgVXTEzCzUjO7yA";

/// A `google.protobuf.FileDescriptorSet` of the service `shop.Orders`, whose
/// method `List` is also `GET /orders`.
fn descriptor() -> Vec<u8> {
    const HTTP_RULE: usize = 72_295_728;
    let text = |field: usize, text: &str| delimited(field, text.as_bytes());
    let rule = delimited(HTTP_RULE, &text(2, "/orders"));
    let method =
        [text(1, "List"), text(2, ".shop.Request"), text(3, ".shop.Reply"), delimited(4, &rule)]
            .concat();
    let service = [text(1, "Orders"), delimited(2, &method)].concat();
    let file = [
        text(1, "shop.proto"),
        text(2, "shop"),
        delimited(4, &text(1, "Request")),
        delimited(4, &text(1, "Reply")),
        delimited(6, &service),
        text(12, "proto3"),
    ];
    delimited(1, &file.concat())
}

fn transcoder(converts_status: bool) -> Value {
    let config = json!({
        "proto_descriptor_bin": STANDARD.encode(descriptor()),
        "services": ["shop.Orders"],
        "auto_mapping": true,
        "convert_grpc_status": converts_status,
    });
    filter("grpc_json_transcoder", "grpc_json_transcoder.v3.GrpcJsonTranscoder", config)
}

fn grpc_web() -> Value {
    filter("grpc_web", "grpc_web.v3.GrpcWeb", json!({}))
}

fn connect() -> Value {
    filter("connect_grpc_bridge", "connect_grpc_bridge.v3.FilterConfig", json!({}))
}

fn bridge() -> Value {
    filter("grpc_http1_bridge", "grpc_http1_bridge.v3.Config", json!({}))
}

fn ours() -> Value {
    gatepass(&json!({
        "providers": {"shop": {
            "issuer": "https://auth.shop.example", "audiences": ["shop-api"],
            "algorithms": ["HS256"],
            "local_jwks": {"keys": [{"kty": "oct", "kid": "a", "k": KEY}]},
        }},
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "signing_keys": [{"algorithm": "ES256", "private_key": {"env": "GATEPASS_SIGNING_KEY"}}],
        },
    }))
}

/// What everybody knows.
fn jwt_authn() -> Value {
    let keys = json!({"keys": [{"kty": "oct", "kid": "a", "alg": "HS256", "k": KEY}]});
    let config = json!({
        "providers": {"shop": {
            "issuer": "https://auth.shop.example",
            "local_jwks": {"inline_string": keys.to_string()},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "shop"}}],
    });
    filter("jwt_authn", "jwt_authn.v3.JwtAuthentication", config)
}

/// Where the filter under test is among others.
type Place = (&'static str, fn(Value) -> Vec<Value>);

const PLACES: [Place; 12] = [
    ("alone", |own| vec![own]),
    ("behind the transcoder", |own| vec![transcoder(false), own]),
    ("behind the transcoder that converts statuses", |own| vec![transcoder(true), own]),
    ("before the transcoder", |own| vec![own, transcoder(false)]),
    ("behind gRPC-Web", |own| vec![grpc_web(), own]),
    ("before gRPC-Web", |own| vec![own, grpc_web()]),
    ("behind both", |own| vec![grpc_web(), transcoder(true), own]),
    ("behind both, turned around", |own| vec![transcoder(false), grpc_web(), own]),
    ("between", |own| vec![grpc_web(), own, transcoder(true)]),
    ("between, turned around", |own| vec![transcoder(false), own, grpc_web()]),
    ("behind the Connect bridge", |own| vec![connect(), own]),
    ("behind the HTTP/1 bridge", |own| vec![bridge(), own]),
];

/// A gateway with both filters in each place, ours at the even positions.
async fn everywhere() -> Gateway {
    let both = |(_, place): &Place| [place(ours()), place(jwt_authn())];
    let chains: Vec<Vec<Value>> = PLACES.iter().flat_map(both).collect();
    chains::envoy(&chains, &json!({})).start_beside_others().await
}

fn post(path: &str, kind: &str) -> Request {
    Request::new(format!("POST {path} HTTP/1.1"))
        .with("content-type", kind)
        .with("content-length", "0")
}

/// Those who may call `shop.Orders`, and one who does not.
fn clients() -> [(&'static str, Request); 8] {
    let call = |kind| post("/shop.Orders/List", kind);
    [
        ("gRPC", call("application/grpc").with("te", "trailers")),
        ("gRPC-Web", call("application/grpc-web")),
        ("gRPC-Web, said so", call("application/grpc-web+proto")),
        (
            "gRPC-Web in base64",
            call("application/grpc-web-text").with("accept", "application/grpc-web-text"),
        ),
        ("REST", Request::get("/orders")),
        ("JSON", call("application/json")),
        ("Connect", call("application/proto").with("connect-protocol-version", "1")),
        ("a browser", Request::get("/elsewhere")),
    ]
}

/// The HTTP status, and the gRPC status if there is one.
fn statuses(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.header("grpc-status"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_has_its_status_wherever_the_filter_is() {
    let gateway = everywhere().await;
    for (position, (place, _)) in PLACES.iter().enumerate() {
        for (client, request) in clients() {
            let case = format!("{client}, {place}");
            let own = send(&gateway, 2 * position, request.clone()).expect("an answer");
            let other = send(&gateway, 2 * position + 1, request.clone()).expect("an answer");
            assert_eq!(own.status, if client == "gRPC" { 200 } else { 401 }, "{case}: {own}");
            assert_eq!(own.status, other.status, "{case}: {own}\njwt_authn: {other}");
            if client.starts_with("gRPC") {
                // jwt_authn says nothing to a gRPC-Web client that meets no filter
                // of that name before.
                let status = statuses(&other).1.unwrap_or("16");
                assert_eq!(statuses(&own).1, Some(status), "{case}: {own}");
                assert_eq!(own.header("grpc-message"), Some("token_missing"), "{case}: {own}");
                assert_eq!(own.body, b"", "{case}: trailers only");
            } else if (client, *place) == ("Connect", "behind the Connect bridge") {
                let error = json!({"code": "unauthenticated", "message": "token_missing"});
                assert_eq!(own.json(), error, "{case}");
            } else {
                assert_eq!(own.outcome(), "401 token_missing", "{case}: {own}");
                assert_eq!(statuses(&own).1, None, "{case}: {own}");
                assert_eq!(own.header("content-type"), Some("application/problem+json"), "{case}");
            }
            assert_eq!(
                own.header("www-authenticate"),
                Some(r#"Bearer realm="gatepass""#),
                "{case}: {own}"
            );

            // The gRPC status is the denial's, not one that the HTTP status stands for.
            let twice = request.bearer("a.b.c").bearer("a.b.c");
            let own = send(&gateway, 2 * position, twice).expect("an answer");
            assert_eq!(own.status, if client == "gRPC" { 200 } else { 400 }, "{case}: {own}");
            if client.starts_with("gRPC") {
                assert_eq!(statuses(&own).1, Some("3"), "{case}: {own}");
            }
        }
    }
}
