//! Tokens that are bound to a key of their client: proofs (DPoP, RFC 9449), and
//! certificates (RFC 8705).

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::host::{HostCapabilities, RequestId, RequestInfo};
use gatepass::http::RequestHead;
use gatepass::keys::jwk_thumbprint;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

pub const CERTIFICATE: [u8; 32] = [7; 32];

pub fn config(binding: Value) -> Value {
    local([("/providers/shop/binding", binding)])
}

pub fn dpop() -> Value {
    config(json!({"dpop": {"public_origin": "https://api.example"}}))
}

pub fn public(key: &IssuerKey) -> Value {
    let jwk = key.jwk("x");
    json!({"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"]})
}

pub fn thumbprint(key: &IssuerKey) -> String {
    BASE64URL.encode(jwk_thumbprint(public(key).as_object().unwrap()).unwrap())
}

/// Alice's token, bound to the key of the RFC 8032 test.
pub fn bound() -> String {
    token(json!({"cnf": {"jkt": thumbprint(&KEY_B)}}))
}

fn ath(token: &str) -> String {
    BASE64URL.encode(Sha256::digest(token))
}

pub fn change(object: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        object[name] = value.clone();
    }
    object.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

/// A proof for `GET https://api.example/api` with changes of its header and its claims.
pub fn proof(token: &str, header: &Value, claims: &Value) -> String {
    let mut full = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public(&KEY_B)});
    change(&mut full, header);
    let mut said = json!({
        "jti": "p1", "htm": "GET", "htu": "https://api.example/api", "iat": START,
        "ath": ath(token),
    });
    change(&mut said, claims);
    KEY_B.sign(full.to_string().as_bytes(), said.to_string().as_bytes())
}

pub fn request(scheme: &str, token: &str, proofs: &[&str]) -> RequestHead {
    let authorization = format!("{scheme} {token}");
    let mut fields = vec![
        (":scheme", "http"),
        (":path", "/api?x=1"),
        (":authority", "10.0.0.1:8080"),
        ("authorization", authorization.as_str()),
    ];
    fields.extend(proofs.iter().map(|proof| ("dpop", *proof)));
    head(&fields)
}

pub fn ask(world: &mut World, token: &str, proof: &str) -> gatepass::pipeline::Step {
    world.begin(request("DPoP", token, &[proof]))
}

pub fn mismatch() -> (u16, String) {
    denial(401, "binding_mismatch")
}

pub fn invalid() -> (u16, String) {
    denial(401, "dpop_invalid")
}

#[test]
fn a_proof_lets_a_bound_token_pass_and_goes_no_further() {
    for host in [ENVOY, KONG] {
        let mut world = World::new(&dpop(), host);
        let token = bound();
        let head = request("dpop", &token, &[&proof(&token, &json!({}), &json!({}))]);
        let edits = forwarded(world.begin(head.clone()));
        let sent = upstream(host, &head, &edits);
        let is_left = |(name, value): &(String, String)| {
            ["dpop", "authorization"].contains(&name.as_str()) && !value.is_empty()
        };
        assert!(!sent.iter().any(is_left), "{sent:?}");
        let identity = world.identity(&edits);
        assert_eq!(identity["cnf"], json!({"jkt": thumbprint(&KEY_B)}));
    }
}

#[test]
fn a_bound_token_passes_no_other_way() {
    let (bound, unbound) = (bound(), alice());
    let good = proof(&bound, &json!({}), &json!({}));
    for (case, head, expected) in [
        ("under Bearer", request("Bearer", &bound, &[]), mismatch()),
        ("under Bearer, with a proof", request("Bearer", &bound, &[&good]), mismatch()),
        (
            "an unbound one",
            request("DPoP", &unbound, &[&proof(&unbound, &json!({}), &json!({}))]),
            mismatch(),
        ),
        ("no proof", request("DPoP", &bound, &[]), invalid()),
        ("two proofs", request("DPoP", &bound, &[&good, &good]), invalid()),
        ("two of a list", request("DPoP", &bound, &[&format!("{good}, {good}")]), invalid()),
    ] {
        let mut world = World::new(&dpop(), ENVOY);
        assert_eq!(denied(world.begin(head)), expected, "{case}");
        let step = ask(&mut world, &bound, &good);
        forwarded(step);
        world.forwarded(&unbound);
    }
    let both = head(&[("authorization", &format!("DPoP {bound}")), ("authorization", "Bearer x")]);
    let mut world = World::new(&dpop(), ENVOY);
    assert_eq!(denied(world.begin(both)), denial(400, "token_multiple"));
    let mut required = dpop();
    put(&mut required, "/providers/shop/binding/required", json!(true));
    let mut world = World::new(&required, ENVOY);
    assert_eq!(world.denied(&unbound), mismatch());
    let step = ask(&mut world, &bound, &good);
    forwarded(step);
    // Without the configuration nothing has changed.
    let mut world = World::new(&local([]), ENVOY);
    assert_eq!(world.denied(&bound), mismatch());
    assert_eq!(denied(ask(&mut world, &unbound, &good)), denial(401, "token_missing"));
}

/// What a proof must not say, each alone.
#[test]
fn hostile_proofs() {
    let token = bound();
    let other = token_of_bob();
    let mut private = public(&KEY_B);
    private["d"] = KEY_B.private_jwk()["d"].clone();
    let secret = json!({"kty": "oct", "k": BASE64URL.encode([1; 32])});
    let none = json!({});
    for (case, header, claims, expected) in [
        ("no type", json!({"typ": null}), none.clone(), invalid()),
        ("another type", json!({"typ": "JWT"}), none.clone(), invalid()),
        ("an access token's", json!({"typ": "at+jwt"}), none.clone(), invalid()),
        ("unsecured", json!({"alg": "none"}), none.clone(), invalid()),
        ("symmetric", json!({"alg": "HS256"}), none.clone(), invalid()),
        ("an unknown algorithm", json!({"alg": "ES999"}), none.clone(), invalid()),
        ("another kind of key", json!({"alg": "ES256"}), none.clone(), invalid()),
        ("critical", json!({"crit": ["exp"]}), none.clone(), invalid()),
        ("no key", json!({"jwk": null}), none.clone(), invalid()),
        ("a text as key", json!({"jwk": "x"}), none.clone(), invalid()),
        ("a private key", json!({ "jwk": private }), none.clone(), invalid()),
        ("a secret", json!({ "jwk": secret }), none.clone(), mismatch()),
        ("another key", json!({"jwk": public(&KEY_A)}), none.clone(), mismatch()),
        ("no id", none.clone(), json!({"jti": null}), invalid()),
        ("an empty id", none.clone(), json!({"jti": ""}), invalid()),
        ("a number as id", none.clone(), json!({"jti": 1}), invalid()),
        ("no method", none.clone(), json!({"htm": null}), invalid()),
        ("another method", none.clone(), json!({"htm": "POST"}), invalid()),
        ("a method in small letters", none.clone(), json!({"htm": "get"}), invalid()),
        ("no target", none.clone(), json!({"htu": null}), invalid()),
        ("another host", none.clone(), json!({"htu": "https://api.evil/api"}), invalid()),
        ("what the host sees", none.clone(), json!({"htu": "http://10.0.0.1:8080/api"}), invalid()),
        ("another path", none.clone(), json!({"htu": "https://api.example/api/"}), invalid()),
        ("no scheme", none.clone(), json!({"htu": "api.example/api"}), invalid()),
        ("no time", none.clone(), json!({"iat": null}), invalid()),
        ("a text as time", none.clone(), json!({"iat": "1"}), invalid()),
        ("too old", none.clone(), json!({"iat": START - 60}), invalid()),
        ("the future", none.clone(), json!({"iat": START + 61}), invalid()),
        ("no token", none.clone(), json!({"ath": null}), invalid()),
        ("another token", none.clone(), json!({"ath": ath(&other)}), invalid()),
        ("a padded digest", none.clone(), json!({"ath": format!("{}=", ath(&token))}), invalid()),
    ] {
        let mut world = World::new(&dpop(), ENVOY);
        let bad = proof(&token, &header, &claims);
        assert_eq!(denied(ask(&mut world, &token, &bad)), expected, "{case}");
        // It has used nothing up.
        forwarded(ask(&mut world, &token, &proof(&token, &none, &none)));
    }
    let mut world = World::new(&dpop(), ENVOY);
    let good = proof(&token, &none, &none);
    for (case, bad) in [
        ("nothing", String::new()),
        ("no JWT", "abc".to_owned()),
        ("the token itself", token.clone()),
        ("a changed signature", format!("{}AAAA", &good[..good.len() - 4])),
        ("too long", "a".repeat(10_000)),
    ] {
        assert_eq!(denied(ask(&mut world, &token, &bad)), invalid(), "{case}");
    }
}

fn token_of_bob() -> String {
    token(json!({"sub": "bob", "cnf": {"jkt": thumbprint(&KEY_B)}}))
}

#[test]
fn proofs_as_clients_write_them() {
    let token = bound();
    for (case, header, claims) in [
        ("with a query", json!({}), json!({"htu": "https://api.example/api?x=2#f"})),
        ("another spelling", json!({}), json!({"htu": "HTTPS://API.Example:443/./a%70i"})),
        ("the newer name of EdDSA", json!({"alg": "Ed25519"}), json!({})),
        ("a clock behind", json!({}), json!({"iat": START - 59})),
        ("a clock ahead", json!({}), json!({"iat": START + 60})),
        ("a nonce that nobody asked for", json!({}), json!({"nonce": "x"})),
        ("other claims", json!({"kid": "1"}), json!({"exp": 1, "sub": "x"})),
        ("a key with more", json!({"jwk": KEY_B.jwk("k")}), json!({})),
    ] {
        let mut world = World::new(&dpop(), ENVOY);
        let step = ask(&mut world, &token, &proof(&token, &header, &claims));
        assert_eq!(decided(step), None, "{case}");
    }
}

#[test]
fn a_proof_counts_once_for_all_workers() {
    let store = Store::default();
    let mut one = World::sharing(&dpop(), ENVOY, &store);
    let mut two = World::sharing(&dpop(), ENVOY, &store);
    let token = bound();
    let good = proof(&token, &json!({}), &json!({}));
    forwarded(ask(&mut one, &token, &good));
    for world in [&mut one, &mut two] {
        assert_eq!(denied(ask(world, &token, &good)), invalid());
        world.set_clock(START + 59);
        assert_eq!(denied(ask(world, &token, &good)), invalid(), "to its end");
        // Ahead by a day, and right again.
        world.set_clock(START + 86_400);
        assert_eq!(denied(world.begin(request("DPoP", &token, &[&good]))).0, 401);
        world.set_clock(START - 30);
        assert_eq!(denied(ask(world, &token, &good)), invalid(), "set back");
        world.set_clock(START);
    }
    let next = |id: &str| proof(&token, &json!({}), &json!({ "jti": id }));
    forwarded(ask(&mut two, &token, &next("p2")));
    assert_eq!(denied(ask(&mut one, &token, &next("p2"))), invalid());
    // A gateway that is configured anew goes on from there.
    let mut three = World::sharing(&dpop(), ENVOY, &store);
    assert_eq!(denied(ask(&mut three, &token, &next("p2"))), invalid());
}

/// A request that waits for the user service comes by again with the same proof.
#[test]
fn a_request_that_waits_uses_its_proof_once() {
    let mut config = dpop();
    put(&mut config, "/user_info", json!({"service": "users", "path": "/users/{sub}"}));
    let mut world = World::new(&config, ENVOY);
    let token = bound();
    let good = proof(&token, &json!({}), &json!({}));
    let step = ask(&mut world, &token, &good);
    let replay = ask(&mut world, &token, &good);
    assert_eq!(denied(replay), invalid(), "meanwhile");
    forwarded(world.answer(step, &ok(&json!({"sub": "alice"}))));
}

#[test]
fn nonces() {
    let nonce_of = |step: gatepass::pipeline::Step| {
        let reply = answered(step);
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"));
        let challenge = reply_field(&reply, "www-authenticate").unwrap().to_owned();
        (reply_field(&reply, "dpop-nonce").unwrap().to_owned(), challenge)
    };
    let keys = |keys: &[&str]| {
        let mut config = dpop();
        put(&mut config, "/providers/shop/binding/dpop/nonce_keys", json!(keys));
        config
    };
    let (old, new) = ("an old key of 16 bytes", "a new key of 16 bytes.");
    let mut world = World::new(&keys(&[old]), ENVOY);
    let token = bound();
    let with = |nonce: &str, id: &str| {
        // The time that the client believes in does not matter then.
        proof(&token, &json!({}), &json!({"nonce": nonce, "jti": id, "iat": START - 5000}))
    };
    let plain = proof(&token, &json!({}), &json!({}));
    let (nonce, challenge) = nonce_of(ask(&mut world, &token, &plain));
    assert!(challenge.starts_with("Bearer realm=\"gatepass\", DPoP error=\"use_dpop_nonce\""));
    forwarded(ask(&mut world, &token, &with(&nonce, "1")));
    assert_eq!(denied(ask(&mut world, &token, &with(&nonce, "1"))), invalid(), "again");
    let mut rotated = World::new(&keys(&[new, old]), ENVOY);
    forwarded(ask(&mut rotated, &token, &with(&nonce, "2")));
    let mut other = World::new(&keys(&[new]), ENVOY);
    assert_eq!(denied(ask(&mut other, &token, &with(&nonce, "3"))), invalid());
    world.pass(60);
    let (next, challenge) = nonce_of(ask(&mut world, &token, &with(&nonce, "4")));
    assert!(challenge.contains("use_dpop_nonce") && next != nonce, "{challenge}");
    let step = world.begin(head(&[(":path", "/api")]));
    assert_eq!(nonce_of(step).1, format!("Bearer realm=\"gatepass\", DPoP algs=\"{ALGS}\""));
}

const ALGS: &str = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA Ed25519";

#[test]
fn challenges() {
    let token = bound();
    for (case, head, expected) in [
        (
            "no token",
            head(&[(":path", "/api")]),
            format!("Bearer realm=\"gatepass\", DPoP algs=\"{ALGS}\""),
        ),
        (
            "under Bearer",
            request("Bearer", &token, &[]),
            format!(
                "Bearer realm=\"gatepass\", error=\"invalid_token\", error_description=\"The token \
                 is not accepted\", DPoP error=\"invalid_token\", error_description=\"The token is \
                 not accepted\", algs=\"{ALGS}\""
            ),
        ),
        (
            "no proof",
            request("DPoP", &token, &[]),
            format!(
                "Bearer realm=\"gatepass\", DPoP error=\"invalid_dpop_proof\", error_description=\
                 \"The DPoP proof is not accepted\", algs=\"{ALGS}\""
            ),
        ),
    ] {
        let mut world = World::new(&dpop(), ENVOY);
        let reply = answered(world.begin(head));
        assert_eq!(reply_field(&reply, "www-authenticate"), Some(expected.as_str()), "{case}");
        assert_eq!(reply_field(&reply, "dpop-nonce"), None);
    }
}

/// What the host knows of every client.
#[derive(Debug)]
struct Clients(Rc<Cell<(Option<[u8; 32]>, IpAddr)>>);

impl RequestInfo for Clients {
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        None
    }

    fn client_address(&self, _: RequestId) -> Option<IpAddr> {
        Some(self.0.get().1)
    }

    fn peer_address(&self, request: RequestId) -> Option<IpAddr> {
        self.client_address(request)
    }

    fn client_certificate(&self, _: RequestId) -> Option<[u8; 32]> {
        self.0.get().0
    }
}

pub type Client = Rc<Cell<(Option<[u8; 32]>, IpAddr)>>;

pub fn with_clients(config: &Value, host: HostCapabilities) -> (World, Client) {
    let client = Rc::new(Cell::new((None, IpAddr::from([192, 0, 2, 1]))));
    (World::asking(config, host, Box::new(Clients(Rc::clone(&client)))), client)
}

#[test]
fn a_token_passes_with_its_certificate_only() {
    let to = |digest: [u8; 32]| token(json!({"cnf": {"x5t#S256": BASE64URL.encode(digest)}}));
    for host in [ENVOY, KONG] {
        let (mut world, client) = with_clients(&config(json!({"mtls": true})), host);
        let address = client.get().1;
        let bound = to(CERTIFICATE);
        assert_eq!(world.denied(&bound), mismatch(), "no certificate");
        client.set((Some([8; 32]), address));
        assert_eq!(world.denied(&bound), mismatch(), "another");
        client.set((Some(CERTIFICATE), address));
        let edits = world.forwarded(&bound);
        assert_eq!(world.identity(&edits)["cnf"]["x5t#S256"], BASE64URL.encode(CERTIFICATE));
        client.set((Some([8; 32]), address));
        assert_eq!(world.denied(&bound), mismatch(), "another, and the token known");
        world.forwarded(&alice());
        let reply = answered(world.get(&bound));
        let challenge = reply_field(&reply, "www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\"") && !challenge.contains("DPoP"));
    }
}

#[test]
fn confirmations_that_are_not_checked_are_refused() {
    let digest = BASE64URL.encode(CERTIFICATE);
    let (mut world, client) = with_clients(&config(json!({"mtls": true})), ENVOY);
    client.set((Some(CERTIFICATE), client.get().1));
    for cnf in [
        json!({}),
        json!("x"),
        json!([]),
        json!({"jkt": digest}),
        json!({"x5t#S256": digest, "jkt": digest}),
        json!({"x5t#S256": digest, "kid": "a"}),
        json!({"x5t#S256": format!("{digest}=")}),
        json!({"x5t#S256": "AAAA"}),
        json!({"x5t#S256": 7}),
        json!({"x5t#S256": digest, "jwk": {"kty": "oct"}}),
        json!({"x5t": digest}),
        json!({"note": "not understood"}),
    ] {
        let bound = token(json!({ "cnf": cnf }));
        assert_eq!(world.denied(&bound), mismatch(), "{cnf}");
    }
    // RFC 7800 section 3.1: what is not understood is ignored.
    let cnf = json!({"x5t#S256": digest, "note": "not understood"});
    world.forwarded(&token(json!({ "cnf": cnf })));
    let both = config(json!({"mtls": true, "dpop": {"public_origin": "https://api.example"}}));
    let (mut world, client) = with_clients(&both, ENVOY);
    let jkt = thumbprint(&KEY_B);
    let bound = token(json!({"cnf": {"x5t#S256": digest, "jkt": jkt}}));
    let good = |id: &str| proof(&bound, &json!({}), &json!({ "jti": id }));
    assert_eq!(denied(ask(&mut world, &bound, &good("1"))), mismatch(), "the proof alone");
    client.set((Some(CERTIFICATE), client.get().1));
    assert_eq!(world.denied(&bound), mismatch(), "the certificate alone");
    forwarded(ask(&mut world, &bound, &good("2")));
}

#[test]
fn a_certificate_that_is_passed_on_counts_from_trusted_sources() {
    let binding = json!({"mtls": {"header": "x-cert", "from": ["192.0.2.0/24"]}});
    let (mut world, client) = with_clients(&config(binding), ENVOY);
    let bound = token(json!({"cnf": {"x5t#S256": BASE64URL.encode(CERTIFICATE)}}));
    let hex = "07".repeat(32);
    let with = |values: &[String]| {
        let authorization = format!("Bearer {bound}");
        let mut fields = vec![("authorization", authorization.as_str())];
        fields.extend(values.iter().map(|value| ("x-cert", value.as_str())));
        head(&fields)
    };
    let good = format!("Hash={hex}");
    forwarded(world.begin(with(std::slice::from_ref(&good))));
    for values in [vec![], vec![good.clone(), good.clone()], vec![format!("Hash={hex},{good}")]] {
        assert_eq!(denied(world.begin(with(&values))), mismatch(), "{values:?}");
    }
    client.set((Some(CERTIFICATE), IpAddr::from([198, 51, 100, 1])));
    assert_eq!(denied(world.begin(with(&[good]))), mismatch(), "from anybody");
}

/// The endpoint that takes revocations is no way around.
#[test]
fn a_bound_token_revokes_with_its_key_only() {
    let mut config = dpop();
    put(&mut config, "/revocation", json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}}));
    let mut world = World::new(&config, ENVOY);
    let admin = token(json!({"scope": "revoke", "cnf": {"jkt": thumbprint(&KEY_B)}}));
    let post = head(&[
        (":method", "POST"),
        (":path", "/.well-known/gatepass/revocations"),
        ("content-length", "2"),
        ("authorization", &format!("Bearer {admin}")),
    ]);
    assert_eq!(denied(world.begin(post)), mismatch());
}

/// Where a rule asks for it, a token that is bound to nothing does not do.
#[test]
fn a_rule_may_ask_for_bound_tokens() {
    let mut config = dpop();
    let rules = json!([{"match": {"path_prefix": "/api"}, "requires": {"bound": true}}]);
    put(&mut config, "/rules", rules);
    let mut world = World::new(&config, ENVOY);
    let token = bound();
    assert_eq!(world.denied(&alice()), mismatch());
    let reply = answered(world.get(&alice()));
    let challenge = reply_field(&reply, "www-authenticate").unwrap();
    assert!(challenge.contains("DPoP error=\"invalid_token\""), "{challenge}");
    assert_eq!(world.denied(&token), mismatch(), "bound, and used as if it were not");
    forwarded(ask(&mut world, &token, &proof(&token, &json!({}), &json!({}))));
    let other = head(&[(":path", "/other"), ("authorization", &format!("Bearer {}", alice()))]);
    forwarded(world.begin(other));
    // Nobody is let in for want of a key, unless the rule says so.
    let rules = json!([{"match": {}, "requires": {
        "bound": true, "allow_missing": true, "invalid_as_missing": true,
    }}]);
    put(&mut config, "/rules", rules);
    let mut world = World::new(&config, ENVOY);
    let edits = world.forwarded(&alice());
    assert_eq!(field(&edits, "x-anonymous-consumer").as_deref(), Some("true"));
    // A certificate does as well.
    let both = json!({"mtls": true, "dpop": {"public_origin": "https://api.example"}});
    let mut config = self::config(both);
    put(&mut config, "/rules", json!([{"match": {}, "requires": {"bound": true}}]));
    let (mut world, client) = with_clients(&config, ENVOY);
    client.set((Some(CERTIFICATE), client.get().1));
    let by_certificate = json!({"cnf": {"x5t#S256": BASE64URL.encode(CERTIFICATE)}});
    world.forwarded(&crate::support::token(by_certificate));
    assert_eq!(world.denied(&alice()), mismatch());
}
