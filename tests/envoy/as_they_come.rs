//! Key sets and tokens in the forms in which issuers really send them, on one real Envoy that
//! has a provider for each: what the service behind gets, or what the client is told.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::documented::now;
use crate::gateway::until;
use crate::providers::setup;
use crate::stack::server::Server;
use crate::wire::Request;

/// A key of P-256 with its certificate, and its coordinates.
struct Certified {
    private: EncodingKey,
    pem: String,
    der: Vec<u8>,
    x: Vec<u8>,
    y: Vec<u8>,
}

impl Certified {
    fn generate() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let own = CertificateParams::new(vec!["issuer".to_owned()]).unwrap();
        let own = own.self_signed(&pair).unwrap();
        // The byte that says "uncompressed" is before both halves.
        let (x, y) = pair.der_bytes()[1..].split_at(32);
        Self {
            private: EncodingKey::from_ec_der(&pair.serialize_der()),
            pem: own.pem(),
            der: own.der().to_vec(),
            x: x.to_vec(),
            y: y.to_vec(),
        }
    }

    /// One whose first coordinate has a leading zero, which some libraries leave out.
    fn with_leading_zero() -> Self {
        std::iter::repeat_with(Self::generate).find(|it| it.x[0] == 0).unwrap()
    }

    fn jwk(&self, changes: &Value) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let (x, y) = (encode(&self.x), encode(&self.y));
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k"});
        change(&mut jwk, changes);
        jwk
    }

    fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

fn change(target: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        target[name] = value.clone();
    }
    target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

/// What an issuer has at its path: a status, where else to ask, and a document.
type Page = (u16, Option<&'static str>, String);

struct Case {
    name: &'static str,
    provider: Value,
    page: Page,
    token: String,
    /// The code of the denial, or what the identity says.
    expected: Result<Value, &'static str>,
}

/// The issuer of the case at this position.
fn issuer(position: usize) -> String {
    format!("https://{position}.example")
}

/// The cases so far, with what they have in common.
struct Cases {
    key: Certified,
    all: Vec<Case>,
}

impl Cases {
    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": issuer(self.all.len()), "aud": "shop-api", "sub": "alice", "exp": now() + 290,
        });
        change(&mut claims, changes);
        claims
    }

    fn push(
        &mut self,
        name: &'static str,
        page: Page,
        token: String,
        expected: Result<Value, &'static str>,
    ) {
        let (provider, page) = (json!({}), page);
        self.all.push(Case { name, provider, page, token, expected });
    }

    /// A key set in this form, and a token of the key; whether it is accepted.
    fn keys(&mut self, name: &'static str, document: String, signer: &Certified, is_taken: bool) {
        let token = signer.sign(Some("k"), &self.claims(&json!({})));
        let expected = if is_taken { Ok(json!({"sub": "alice"})) } else { Err("key_unknown") };
        self.push(name, (200, None, document), token, expected);
    }

    /// A token with these claims, for a provider with these settings.
    fn token(
        &mut self,
        name: &'static str,
        provider: Value,
        claims: &Value,
        expected: Result<Value, &'static str>,
    ) {
        let token = self.key.sign(Some("k"), &self.claims(claims));
        let page = (200, None, set(&[self.key.jwk(&json!({}))]));
        self.all.push(Case { name, provider, page, token, expected });
    }
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn key_sets(cases: &mut Cases) {
    let (key, zero, other) =
        (Certified::generate(), Certified::with_leading_zero(), Certified::generate());
    let none = json!({});
    let padded = |it: &Certified| json!({"x": BASE64_URL_SAFE.encode(&it.x), "kid": "p"});
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    cases.keys("a leading zero", set(&[zero.jwk(&none)]), &zero, true);
    let short = zero.jwk(&json!({"x": encode(&zero.x[1..])}));
    cases.keys("a zero left out", set(&[short, other.jwk(&json!({"kid": "o"}))]), &zero, false);
    let long = key.jwk(&json!({"x": encode(&[&[0], &key.x[..]].concat())}));
    cases.keys("a zero too many", set(&[long, other.jwk(&json!({"kid": "o"}))]), &key, false);
    let alone = json!({"kty": "EC", "kid": "k", "x5c": [BASE64_STANDARD.encode(&key.der)]});
    cases.keys("a certificate alone", set(&[alone]), &key, true);
    let certificates = json!({"k": key.pem, "l": other.pem});
    cases.keys("certificates by their ids", certificates.to_string(), &key, true);
    let beside = set(&[other.jwk(&padded(&other)), key.jwk(&none)]);
    cases.keys("a padded one beside", beside, &key, true);
    let own = key.jwk(&padded(&key));
    cases.keys("a padded one", set(&[own, other.jwk(&json!({"kid": "o"}))]), &key, false);
    let svid = key.jwk(&json!({"use": "jwt-svid", "alg": null}));
    cases.keys("for SPIFFE", set(&[svid]), &key, true);
    // Anybody can send a token without a key id, so few keys are tried for one.
    let found = || Ok(json!({"sub": "alice"}));
    for (name, count, expected) in
        [("four without ids", 4, found()), ("sixteen without ids", 16, Err("signature_invalid"))]
    {
        let unnamed = json!({"kid": null});
        let mut keys: Vec<_> = (1..count).map(|_| other.jwk(&unnamed)).collect();
        keys.push(key.jwk(&unnamed));
        let token = key.sign(None, &cases.claims(&none));
        cases.push(name, (200, None, set(&keys)), token, expected);
    }
    let mut keys: Vec<_> = (1..16).map(|_| other.jwk(&json!({"kid": null}))).collect();
    keys.push(key.jwk(&none));
    cases.keys("sixteen, one with the id", set(&keys), &key, true);
    let token = key.sign(Some("k"), &cases.claims(&none));
    let page = (302, Some("/moved"), set(&[key.jwk(&none)]));
    cases.push("keys elsewhere", page, token, Ok(json!({"sub": "alice"})));
}

fn tokens(cases: &mut Cases) {
    let subjects = json!({"subject_claims": ["sub", "client_id"]});
    let robot = json!({"sub": null, "client_id": "robot"});
    cases.token("no sub", json!({}), &robot, Err("claim_missing"));
    let expected = json!({"sub": "robot", "client_id": "robot"});
    cases.token("no sub, by another claim", subjects, &robot, Ok(expected));
    cases.token("a number as sub", json!({}), &json!({"sub": 7}), Err("token_malformed"));
    let text = json!({"exp": (now() + 290).to_string()});
    cases.token("exp as text", json!({}), &text, Err("token_malformed"));
    let null = json!({"nbf": Value::Null, "azp": Value::Null});
    cases.token("null is absent", json!({}), &null, Ok(json!({"sub": "alice"})));
    for (name, claim) in [("cid", "cid"), ("appid", "appid")] {
        cases.token(name, json!({}), &json!({(claim): "web"}), Ok(json!({"client_id": "web"})));
    }
    for (name, roles) in [
        ("roles as text", json!("staff,eu admin")),
        ("roles in a list", json!(["staff", "eu", "admin"])),
        ("roles with names", json!([{"name": "staff"}, {"name": "eu"}, {"name": "admin"}])),
    ] {
        let expected = json!({"groups": ["staff", "eu", "admin"]});
        cases.token(name, json!({}), &json!({"roles": roles}), Ok(expected));
    }
    let tenant =
        json!({"issuer": "https://{tid}.tenants.example", "required_claims": {"tid": ["a"]}});
    for (name, tid, iss, expected) in [
        ("a tenant", "a", "a", Ok(json!({"sub": "alice"}))),
        ("another tenant", "b", "b", Err("claim_mismatch")),
        ("a tenant by another's name", "a", "b", Err("issuer_unknown")),
    ] {
        let claims = json!({"tid": tid, "iss": format!("https://{iss}.tenants.example")});
        // There can be one provider for a template.
        let provider = if expected.is_ok() { tenant.clone() } else { json!({}) };
        cases.token(name, provider, &claims, expected);
    }
}

struct Pages {
    by_path: BTreeMap<String, Page>,
    /// Calls that were not answered with 200 or a redirect.
    refused: Mutex<Vec<String>>,
}

/// Refuses those that do not take key sets, and those without a name.
async fn answer(State(pages): State<Arc<Pages>>, uri: Uri, headers: HeaderMap) -> Response {
    let field = |name| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let is_named = field("user-agent").starts_with("gatepass/");
    let takes = field("accept").contains("application/jwk-set+json");
    let is_known = field("x-from") == "gateway";
    let found = pages.by_path.get(uri.path());
    let (status, location, text) = match found {
        Some((status, location, text)) if is_named && takes && is_known => {
            (*status, *location, text.clone())
        }
        _ => {
            pages.refused.lock().unwrap().push(format!("{uri} {headers:?}"));
            (406, None, String::new())
        }
    };
    let status = StatusCode::from_u16(status).unwrap();
    match location {
        Some(location) => (status, [("location", location)]).into_response(),
        None => (status, text).into_response(),
    }
}

fn configuration(cases: &[Case]) -> Value {
    let mut providers = json!({});
    for (position, case) in cases.iter().enumerate() {
        let mut provider = json!({
            "issuer": issuer(position), "audiences": ["shop-api"],
            "remote_jwks": {"service": "keys", "path": format!("/{position}")},
        });
        change(&mut provider, &case.provider);
        providers[format!("p{position}")] = provider;
    }
    json!({
        "services": {"keys": {"upstream": "keys", "headers": {"x-from": "gateway"}}},
        "providers": providers,
        "consumers": {
            "optional": true, "entries": [],
            "groups_claims": ["roles"], "client_id_claims": ["azp", "client_id", "cid", "appid"],
        },
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"], "subject": "{sub}",
            "signing_keys": [{"algorithm": "ES256", "private_key": {"env": "GATEPASS_SIGNING_KEY"}}],
            "jwks_path": "/.well-known/gatepass/jwks.json",
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_sets_and_tokens_as_they_come() {
    let mut cases = Cases { key: Certified::generate(), all: Vec::new() };
    key_sets(&mut cases);
    tokens(&mut cases);
    let cases = cases.all;
    let mut by_path = BTreeMap::new();
    for (position, case) in cases.iter().enumerate() {
        by_path.insert(format!("/{position}"), case.page.clone());
        if let (_, Some(elsewhere), document) = &case.page {
            by_path.insert((*elsewhere).to_owned(), (200, None, document.clone()));
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pages = Arc::new(Pages { by_path, refused: Mutex::default() });
    let router = Router::new().fallback(answer).with_state(Arc::clone(&pages));
    let _server = Server::start(listener, router);
    let gateway = setup(&configuration(&cases), port).start_beside_others().await;
    let send = |case: &Case| gateway.send(Request::get("/orders").bearer(&case.token));
    until("the keys are there", || async {
        send(&cases[0]).await.outcome() != "503 keys_unavailable"
    })
    .await;
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = send(case).await;
        let outcome = answer.outcome();
        match &case.expected {
            Err(code) if outcome == format!("401 {code}") => {}
            Ok(expected) if outcome == "200" => {
                let seen = answer.seen();
                let identity = seen.identity();
                for (claim, value) in expected.as_object().unwrap() {
                    if identity[claim] != *value {
                        wrong.push(format!("{}: {claim} of {identity}", case.name));
                    }
                }
            }
            expected => wrong.push(format!("{}: {outcome}, not {expected:?}: {answer}", case.name)),
        }
    }
    let refused = pages.refused.lock().unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
