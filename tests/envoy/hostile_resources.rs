//! Attacks on what resources, identities by rule and transaction tokens promise. Whatever
//! is sent, nobody gets a token that is for another place.

use serde_json::{Value, json};

use crate::gateway::{Gateway, Setup};
use crate::resources::{claims, transactions};
use crate::tokens::{Signer, alice};
use crate::wire::{Answer, Request, Wrong};

const ORDERS: &str = "https://shop.example/orders";
const METADATA: &str = "https://shop.example/.well-known/oauth-protected-resource/orders";

/// A resource, and two services elsewhere with identities of their own.
async fn shop(ec: &Signer) -> Gateway {
    let keys = format!("local_jwks: {}", json!({"keys": [ec.jwk]}));
    let rules = format!(
        "resources:\n                    - {}\n                    rules:\n                    \
         - {}\n                    - {}\n                    - {}",
        json!({"resource": ORDERS, "scopes": ["orders"], "identity": {"audiences": ["shop-orders"]}}),
        json!({"match": {"path_prefix": "/orders/sell"}, "requires": {"scopes_all": ["sell"]}}),
        json!({"match": {"path_prefix": "/basket"},
            "identity": {"audiences": ["basket"], "scopes": ["orders"], "claims": []}}),
        json!({"match": {"path_prefix": "/reviews"},
            "identity": {"audiences": ["reviews"], "scopes": ["reviews"], "claims": ["country"]}}),
    );
    Setup::bundled()
        .replace_block("remote_jwks:", &keys)
        .replace("                    rules:", &format!("                    {rules}"))
        .start_beside_others()
        .await
}

/// A good token for the rest of the host is none for the resource, however it is asked for:
/// what arrives there is not the resource to any server that reads the path in another way.
async fn no_spelling_leads_around_the_resource(gateway: &Gateway, ec: &Signer) {
    const REFUSED: &str = "400 path_ambiguous";
    const OTHER: &str = "401 audience_mismatch";
    let other = ec.token(&alice(json!({})));
    let mut wrong = Wrong::default();
    for (path, expected) in [
        ("/orders", OTHER),
        ("/orders/", OTHER),
        ("/ORDERS", REFUSED),
        ("/%6frders", OTHER),
        ("//orders", OTHER),
        ("/basket/../orders", OTHER),
        ("/basket/%2e%2e/orders", OTHER),
        ("/basket\\..\\orders", OTHER),
        ("/orders%2f7", "400"),
        ("/orders;x", REFUSED),
        ("/basket/..;/orders", OTHER),
        ("/basket/%252e%252e/orders", REFUSED),
        ("/orders?/../basket", OTHER),
    ] {
        wrong.compare(path, expected, &gateway.get(path, &other).await);
    }
    for host in ["shop.example:80", "shop.example:8443", "SHOP.example", "shop.example."] {
        let request = Request::bare("GET /orders HTTP/1.1").with("host", host).bearer(&other);
        wrong.compare(host, OTHER, &gateway.send(request).await);
        let request = Request::new(format!("GET http://{host}/orders HTTP/1.1")).bearer(&other);
        wrong.compare(host, OTHER, &gateway.send(request).await);
    }
    wrong.assert_none();
}

/// The parameters of the only challenge, each of which is there once.
fn challenge(answer: &Answer) -> Vec<(String, String)> {
    let all = answer.headers.iter().filter(|(name, _)| name == "www-authenticate");
    let [(_, text)] = all.collect::<Vec<_>>()[..] else { panic!("one challenge: {answer}") };
    let rest = text.strip_prefix("Bearer ").expect("Bearer");
    let parameters = rest.split(", ").map(|parameter| {
        let (name, value) = parameter.split_once("=\"").expect(text);
        let value = value.strip_suffix('"').expect(text);
        assert!(!value.contains(['"', '\\', '=']), "{text}");
        (name.to_owned(), value.to_owned())
    });
    let parameters: Vec<_> = parameters.collect();
    for (name, _) in &parameters {
        assert_eq!(parameters.iter().filter(|(other, _)| other == name).count(), 1, "{text}");
    }
    parameters
}

/// What a client writes in its address, and a user in the scopes of a careless issuer, does
/// not send other clients to another authorization server.
async fn nobody_writes_in_the_challenge(gateway: &Gateway, ec: &Signer) {
    let evil = "resource_metadata=\"https://evil.example\"";
    for path in [
        "/orders/%22,%20resource_metadata=%22https://evil.example%22",
        "/orders/x\",resource_metadata=\"https://evil.example",
        "/orders?scope=admin&resource_metadata=https://evil.example",
        "/orders//evil.example/",
    ] {
        for host in ["shop.example", "shop.example:666"] {
            let request = Request::bare(format!("GET {path} HTTP/1.1")).with("host", host);
            let answer = gateway.send(request).await;
            assert!(!answer.to_string().contains("evil"), "{path}: {answer}");
            if answer.status != 400 {
                let found = challenge(&answer);
                assert!(
                    found.contains(&("resource_metadata".into(), METADATA.into())),
                    "{found:?}"
                );
                assert!(found.contains(&("scope".into(), "orders".into())), "{found:?}");
            }
        }
    }
    for scope in [
        json!(format!("a\", {evil}, x=\"")),
        json!(format!("a\\\", {evil}")),
        json!(["resource_metadata=https://evil.example", "error=invalid_token"]),
        json!("a\r\nwww-authenticate: Bearer\u{a0}resource_metadata=https://evil.example"),
        json!("\u{e9} a\u{0}b"),
    ] {
        let token = ec.token(&alice(json!({"aud": ORDERS, "scope": scope})));
        let answer = gateway.get("/orders/sell", &token).await;
        assert_eq!(answer.outcome(), "403 insufficient_scope", "{scope}");
        let found = challenge(&answer);
        let of = |name: &str| found.iter().find(|(own, _)| own == name).map(|(_, it)| it.as_str());
        assert_eq!(of("resource_metadata"), Some(METADATA), "{scope}: {found:?}");
        assert_eq!(of("error"), Some("insufficient_scope"), "{scope}: {found:?}");
        let scopes = of("scope").unwrap();
        assert!(scopes.split(' ').any(|own| own == "sell"), "{scope}: {found:?}");
        assert!(!scopes.contains("evil"), "{scope}: {found:?}");
    }
}

/// One public token at three places in turn, on both workers: what is kept for one of them
/// is never sent to another, and none can use what it got at another.
async fn no_place_gets_the_identity_of_another(gateway: &Gateway, ec: &Signer) {
    let scope = "orders reviews admin";
    let token = ec.token(&alice(json!({"aud": ["shop-api", ORDERS], "scope": scope})));
    for round in 0..4 {
        for (path, audience, scope, country) in [
            ("/basket", "basket", json!("orders"), Value::Null),
            ("/reviews", "reviews", json!("reviews"), json!("ES")),
            ("/orders", "shop-orders", json!(scope), json!("ES")),
        ] {
            let seen = gateway.get(path, &token).await.seen();
            let [text] = seen.values("x-identity-token")[..] else { panic!("{:?}", seen.names()) };
            let found = claims(gateway, text, audience).await;
            assert_eq!(found["aud"], audience, "{path}, {round}");
            assert_eq!((&found["scope"], &found["country"]), (&scope, &country), "{path}, {round}");
            for path in ["/basket", "/reviews", "/orders"] {
                let denied = gateway.get(path, text).await;
                assert_eq!(denied.outcome(), "401 issuer_unknown", "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_and_its_neighbours_stay_apart() {
    let ec = Signer::es256("ec");
    let gateway = shop(&ec).await;
    no_spelling_leads_around_the_resource(&gateway, &ec).await;
    nobody_writes_in_the_challenge(&gateway, &ec).await;
    no_place_gets_the_identity_of_another(&gateway, &ec).await;
}

/// Where Envoy takes the client's address from `X-Forwarded-For`, neither a load balancer's
/// own address nor one that a client names lends anybody the right to give a transaction
/// token back: an address from a header has port 0, that of a connection never.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_token_is_for_those_inside_alone() {
    let ec = Signer::es256("ec");
    let gateway = transactions("127.0.0.0/8")
        .replace_block("remote_jwks:", &format!("local_jwks: {}", json!({"keys": [ec.jwk]})))
        .replace("use_remote_address: true", "use_remote_address: false")
        .start_beside_others()
        .await;
    let public = ec.token(&alice(json!({})));
    let seen = gateway.get("/orders/7", &public).await.seen();
    let first = seen.values("txn-token")[0].to_owned();
    let given = || Request::get("/basket").with("Txn-Token", &first);
    let typed = ec.token_with(json!({"typ": "txntoken+jwt"}), &alice(json!({})));
    let own = alice(json!({"iss": "https://gateway.shop.internal", "aud": "shop-services",
        "txn": "1", "nbf": 0, "tctx": {"origin": {"provider": "shop"}}}));
    let own = ec.token_with(json!({"typ": "txntoken+jwt"}), &own);
    let bearer = |token: &str| Request::get("/basket").bearer(token);
    let mut wrong = Wrong::default();
    for (case, request, expected) in [
        ("inside", given(), "200"),
        ("named inside", given().with("X-Forwarded-For", "127.0.0.1"), "401 token_missing"),
        // Not an address to Envoy, for which the connection counts then, and that is inside.
        ("with a port", given().with("X-Forwarded-For", "192.0.2.7:443"), "200"),
        ("for one outside", given().with("X-Forwarded-For", "192.0.2.7"), "401 token_missing"),
        (
            "for one outside that names another",
            given().with("X-Forwarded-For", "127.0.0.1, 192.0.2.7"),
            "401 token_missing",
        ),
        (
            "twice",
            given().with("X-Forwarded-For", "127.0.0.1").with("X-Forwarded-For", "192.0.2.7"),
            "401 token_missing",
        ),
        ("as a public token", bearer(&first), "401 issuer_unknown"),
        (
            "in a cookie",
            Request::get("/basket").with("Cookie", format!("shop_token={first}")),
            "401 issuer_unknown",
        ),
        ("a public token of the type", bearer(&typed), "401 token_type_mismatch"),
        ("given back", Request::get("/basket").with("Txn-Token", &typed), "401 issuer_unknown"),
        ("by the name too", Request::get("/basket").with("Txn-Token", &own), "401 key_unknown"),
        (
            "a public token",
            Request::get("/basket").with("Txn-Token", &public),
            "401 token_type_mismatch",
        ),
        ("another spelling", Request::get("/basket").with("Txn_Token", &first), "400"),
        ("the same one twice", given().with("Txn-Token", &first), "400 token_multiple"),
        (
            "joined",
            Request::get("/basket").with("Txn-Token", format!("{first},{first}")),
            "401 token_malformed",
        ),
        ("an empty one beside", given().with("Txn-Token", ""), "400 token_multiple"),
        ("beside a bad public token", given().bearer("x"), "400 token_multiple"),
    ] {
        wrong.compare(case, expected, &gateway.send(request).await);
    }
    wrong.assert_none();
}
