//! Transaction tokens that services inside give back, for their own calls of the same
//! transaction.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::host::{RequestId, RequestInfo};
use gatepass::pipeline::Step;
use gatepass::verdict::{HeaderEdits, Verdict};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::*;

const INSIDE: &str = "10.1.2.3";
const OUTSIDE: &str = "192.0.2.7";

/// Where a request is from, and how often that was asked; and the address of its
/// connection, where that is another one.
#[derive(Clone, Debug)]
struct From(Rc<Cell<IpAddr>>, Rc<Cell<usize>>, Rc<Cell<Option<IpAddr>>>);

impl From {
    fn new() -> Self {
        Self(Rc::new(Cell::new(OUTSIDE.parse().unwrap())), Rc::default(), Rc::default())
    }
}

impl RequestInfo for From {
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        None
    }

    fn client_address(&self, _: RequestId) -> Option<IpAddr> {
        self.1.set(self.1.get() + 1);
        Some(self.0.get())
    }

    fn peer_address(&self, request: RequestId) -> Option<IpAddr> {
        self.2.get().or_else(|| self.client_address(request))
    }
}

fn shop(edits: &[(&str, Value)]) -> Value {
    let mut config = with_users([
        ("/identity_token/profile", json!("txn_token")),
        ("/identity_token/scopes", json!(["orders.read", "orders.write", "stock"])),
        ("/identity_token/replace", json!({"from": ["10.0.0.0/8"]})),
        ("/identity_token/claims", json!({"copy": ["azp", "blocked"], "set": {"env": "prod"}})),
        (
            "/consumers",
            json!({"optional": true, "entries": [
                {"key": "web", "id": "1", "username": "web-app", "groups": ["staff"]}]}),
        ),
        (
            "/rules",
            json!([
                {"match": {"path_prefix": "/stock"},
                    "identity": {"scopes": ["stock"], "claims": ["country"], "ttl_seconds": 60}},
                {"match": {"path_prefix": "/write"}, "requires": {"scopes_all": ["orders.write"]}},
                {"match": {"path_prefix": "/staff"}, "requires": {"groups_any": ["staff"]}},
                {"match": {"path_prefix": "/spain"}, "requires": {"claims": {"country": ["ES"]}}},
                {"match": {"path_prefix": "/unblocked"},
                    "requires": {"claims": {"blocked": "absent"}}},
                {"match": {"path_prefix": "/alone"}, "requires": {"claims": {"act": "absent"}}},
                {"match": {"path_prefix": "/api-only"}, "requires": {"audiences": ["shop-api"]}},
                {"match": {"path_prefix": "/open"}, "bypass": true},
            ]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    config
}

fn open(edits: &[(&str, Value)]) -> (World, From) {
    let from = From::new();
    (World::asking(&shop(edits), ENVOY, Box::new(from.clone())), from)
}

fn comes_from(from: &From, address: &str) {
    from.0.set(address.parse().unwrap());
}

fn answered_user(world: &mut World, step: Step) -> Step {
    if !matches!(step, Step::Wait(..)) {
        return step;
    }
    let user = json!({"sub": "alice", "address": {"country": "ES"}, "type": "premium"});
    world.answer(step, &ok(&user))
}

/// The transaction token that a service gets for a public token.
fn begun(world: &mut World, from: &From, path: &str, claims: Value) -> String {
    comes_from(from, OUTSIDE);
    let bearer = format!("Bearer {}", token(claims));
    let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
    let step = answered_user(world, step);
    field(&forwarded(step), "txn-token").expect("a transaction token")
}

fn scopes(scope: &str) -> Value {
    json!({"scope": scope})
}

/// A call of a service inside that gives its token back.
fn given(world: &mut World, from: &From, path: &str, token: &str) -> Step {
    comes_from(from, INSIDE);
    world.begin(head(&[(":path", path), ("txn-token", token)]))
}

fn replaced(world: &mut World, from: &From, path: &str, token: &str) -> String {
    let step = given(world, from, path, token);
    field(&forwarded(step), "txn-token").expect("a transaction token")
}

/// The claims, as a service reads them that knows only the key set and its domain.
fn read(world: &mut World, text: &str) -> Value {
    let keys = answered(world.begin(head(&[(":path", JWKS_PATH)]))).body;
    let keys: JwkSet = serde_json::from_slice(&keys).unwrap();
    let header = jsonwebtoken::decode_header(text).unwrap();
    assert_eq!(header.typ.as_deref(), Some("txntoken+jwt"));
    let key = keys.find(header.kid.as_deref().unwrap()).expect("a published key");
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.set_issuer(&["https://gateway.internal"]);
    validation.set_audience(&["services"]);
    let key = DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<Value>(text, &key, &validation).unwrap().claims
}

// draft-ietf-oauth-transaction-tokens: "MUST NOT modify `txn`, `sub`, and `aud` values
// of the Txn-Token in the request" (R83)
#[test]
fn a_replacement_says_the_same_or_less() {
    let (mut world, from) = open(&[]);
    let claims = json!({"scope": "orders.read stock", "act": {"sub": "robot"}});
    let first = begun(&mut world, &from, "/orders/7?secret=1", claims);
    let before = read(&mut world, &first);
    world.pass(10);
    let edits = {
        let step = given(&mut world, &from, "/stock/9", &first);
        forwarded(step)
    };
    let second = field(&edits, "txn-token").unwrap();
    let after = read(&mut world, &second);
    for name in ["iss", "txn", "sub", "aud", "client_id", "act"] {
        assert!(!before[name].is_null(), "{name}");
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_eq!((&before["scope"], &after["scope"]), (&json!("orders.read stock"), &json!("stock")));
    assert_eq!(after["iat"], json!(START + 10));
    assert_eq!(after["exp"], json!(START + 70), "the rule's, which is sooner");
    let chain = json!(["https://gateway.internal"]);
    assert_eq!(after["rctx"]["chain"], chain);
    assert_eq!(after["rctx"]["path"], "/orders/7", "the request that began it");
    assert_eq!(after["rctx"]["req_ip"], OUTSIDE);
    assert_eq!(
        after["tctx"],
        json!({"country": "ES", "groups": ["staff"],
            "consumer": {"id": "1", "username": "web-app"}, "origin": before["tctx"]["origin"]}),
        "of the claims what the rule names"
    );
    assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some("web-app"));
    assert_eq!(field(&edits, "x-consumer-groups").as_deref(), Some("staff"));

    // What one service was not told, the next one is not either.
    let third = replaced(&mut world, &from, "/orders", &second);
    let last = read(&mut world, &third);
    assert_eq!(last["scope"], "stock");
    assert_eq!(last["exp"], json!(START + 70), "never later");
    assert_eq!(last["tctx"], after["tctx"]);
    assert_eq!(last["txn"], before["txn"]);
    let chain = json!(["https://gateway.internal", "https://gateway.internal"]);
    assert_eq!(last["rctx"]["chain"], chain);
}

/// Another gateway of the domain may have left a second spelling of the scope in a token.
#[test]
fn a_reduced_scope_has_no_other_spelling() {
    let (mut world, from) = open(&signing());
    let first = begun(&mut world, &from, "/orders", scopes("orders.read stock"));
    let before = read(&mut world, &first);
    let mut context = before["tctx"].clone();
    context["scp"] = json!(["orders.read", "stock"]);
    context["scopes"] = json!("orders.read stock");
    let first = forged(&first, json!({}), json!({"tctx": context}), &KEY_B);
    let second = replaced(&mut world, &from, "/orders", &first);
    let after = read(&mut world, &second);
    assert_eq!(after["scope"], "orders.read stock");
    assert_eq!(after["tctx"], before["tctx"]);
}

#[test]
fn only_from_those_who_may() {
    let (mut world, from) = open(&[]);
    let first = begun(&mut world, &from, "/orders", scopes("orders.read"));
    comes_from(&from, OUTSIDE);
    let step = world.begin(head(&[(":path", "/orders"), ("txn-token", &first)]));
    assert_eq!(denied(step), denial(401, "token_missing"));
    // It is cleared, as ever.
    let step = world.begin(head(&[(":path", "/open"), ("txn-token", &first)]));
    let fields = upstream(ENVOY, &head(&[("txn-token", &first)]), &forwarded(step));
    assert!(fields.iter().all(|(name, _)| name != "txn-token"), "{fields:?}");
    comes_from(&from, INSIDE);
    let step = world.begin(head(&[(":path", "/orders"), ("txn_token", &first)]));
    assert_eq!(denied(step), denial(401, "token_missing"), "another spelling is not read");
    let public = format!("Bearer {}", token(scopes("orders.read")));
    let both = [(":path", "/orders"), ("txn-token", &*first), ("authorization", &public)];
    assert_eq!(denied(world.begin(head(&both))), denial(400, "token_multiple"));
    let twice = [(":path", "/orders"), ("txn-token", &*first), ("txn-token", &first)];
    assert_eq!(denied(world.begin(head(&twice))), denial(400, "token_multiple"));
    // Not configured: nothing from inside is different.
    let (mut world, from) = open(&[("/identity_token/replace", Value::Null)]);
    let first = begun(&mut world, &from, "/orders", scopes("orders.read"));
    let step = given(&mut world, &from, "/orders", &first);
    assert_eq!(denied(step), denial(401, "token_missing"));
}

/// A client names an address inside in `X-Forwarded-For`, to a host that believes
/// everybody; or a load balancer inside passes on what comes from outside.
#[test]
fn who_connects_and_for_whom_must_both_be_inside() {
    let (mut world, from) = open(&[]);
    let first = begun(&mut world, &from, "/orders", scopes("orders.read"));
    for (peer, client, is_taken) in [
        (OUTSIDE, INSIDE, false),
        ("10.0.0.1", OUTSIDE, false),
        ("::ffff:192.0.2.7", INSIDE, false),
        ("10.0.0.1", INSIDE, true),
        ("::ffff:10.0.0.1", INSIDE, true),
    ] {
        from.2.set(Some(peer.parse().unwrap()));
        comes_from(&from, client);
        let step = world.begin(head(&[(":path", "/orders"), ("txn-token", &first)]));
        if is_taken {
            forwarded(step);
        } else {
            assert_eq!(denied(step), denial(401, "token_missing"), "{peer} for {client}");
        }
    }
}

/// Whoever gives no token back does not cost the host a question.
#[test]
fn nobody_else_pays_for_it() {
    let (mut world, from) = open(&[]);
    world.gateway.take_log();
    let asked = |from: &From| from.1.get();
    begun(&mut world, &from, "/orders", scopes("orders.read"));
    let each = asked(&from);
    let (mut other, other_from) = open(&[("/identity_token/replace", Value::Null)]);
    begun(&mut other, &other_from, "/orders", scopes("orders.read"));
    assert_eq!(each, asked(&other_from));
}

/// A token again, with other claims and the signature of somebody.
fn forged(token: &str, header: Value, changes: Value, key: &IssuerKey) -> String {
    let part = |index: usize| {
        let text = token.split('.').nth(index).unwrap();
        serde_json::from_slice::<Value>(&BASE64URL.decode(text).unwrap()).unwrap()
    };
    let (mut own, mut claims) = (part(0), part(1));
    for (target, changes) in [(&mut own, header), (&mut claims, changes)] {
        for (name, value) in changes.as_object().unwrap() {
            target[name] = value.clone();
        }
    }
    key.sign(own.to_string().as_bytes(), claims.to_string().as_bytes())
}

/// The gateway's key is known to the test, to make tokens that it would not make.
fn signing() -> [(&'static str, Value); 1] {
    [(
        "/identity_token/signing_keys",
        json!([{"algorithm": "EdDSA", "private_key": KEY_B.private_jwk(), "kid": "g"}]),
    )]
}

#[test]
fn what_is_not_its_own_is_refused() {
    let (mut world, from) = open(&signing());
    let first = begun(&mut world, &from, "/orders", scopes("orders.read"));
    let same = forged(&first, json!({}), json!({}), &KEY_B);
    replaced(&mut world, &from, "/orders", &same);
    for (case, header, changes, key, code) in [
        ("another's signature", json!({}), json!({}), &KEY_A, "signature_invalid"),
        ("an unknown key", json!({"kid": "a"}), json!({}), &KEY_A, "key_unknown"),
        ("another algorithm", json!({"alg": "HS256"}), json!({}), &KEY_B, "algorithm_not_allowed"),
        ("none", json!({"alg": "none"}), json!({}), &KEY_B, "algorithm_not_allowed"),
        ("a type", json!({"typ": "identity+jwt"}), json!({}), &KEY_B, "token_type_mismatch"),
        ("no type", json!({"typ": null}), json!({}), &KEY_B, "token_type_mismatch"),
        ("an issuer", json!({}), json!({"iss": "https://auth.example"}), &KEY_B, "issuer_unknown"),
        ("a domain", json!({}), json!({"aud": "others"}), &KEY_B, "audience_mismatch"),
        ("over", json!({}), json!({"exp": START}), &KEY_B, "token_expired"),
        ("no end", json!({}), json!({"exp": null}), &KEY_B, "claim_missing"),
        ("not yet", json!({}), json!({"nbf": START + 61}), &KEY_B, "token_not_yet_valid"),
        ("no txn", json!({}), json!({"txn": null}), &KEY_B, "claim_missing"),
        ("no sub", json!({}), json!({"sub": ""}), &KEY_B, "claim_missing"),
        ("no scope", json!({}), json!({"scope": null}), &KEY_B, "claim_missing"),
        ("no origin", json!({}), json!({"tctx": {}}), &KEY_B, "claim_missing"),
        (
            "an unknown origin",
            json!({}),
            json!({"tctx": {"origin": {"provider": "gone"}}}),
            &KEY_B,
            "issuer_unknown",
        ),
        ("no chain", json!({}), json!({"rctx": {"chain": "a"}}), &KEY_B, "claim_mismatch"),
        (
            "a long chain",
            json!({}),
            json!({"rctx": {"chain": vec!["a"; 16]}}),
            &KEY_B,
            "claim_mismatch",
        ),
    ] {
        let token = forged(&first, header, changes, key);
        let (status, found) = {
            let step = given(&mut world, &from, "/orders", &token);
            denied(step)
        };
        assert_eq!((status, found.as_str()), (401, code), "{case}");
    }
    let public = token(scopes("orders.read"));
    for text in [&*public, "", "x", "a.b.c"] {
        let step = given(&mut world, &from, "/orders", text);
        assert_eq!(denied(step).0, 401, "{text:?}");
    }
    // And never as a public token.
    let bearer = format!("Bearer {first}");
    let step = world.begin(head(&[(":path", "/orders"), ("authorization", &bearer)]));
    assert_eq!(denied(step).0, 401);
    // Any bit of it.
    let mut refused = 0;
    for bit in (0..first.len() * 8).step_by(7) {
        let mut bytes = first.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if text.trim() == first || text.bytes().any(|byte| byte.is_ascii_control()) {
            continue;
        }
        let step = given(&mut world, &from, "/orders", &text);
        assert_eq!(denied(step).0, 401, "bit {bit}");
        refused += 1;
    }
    assert!(refused > first.len() / 2, "{refused} of {}", first.len());
}

#[test]
fn rules_hold_for_it_too() {
    for (case, path, claims, expected) in [
        ("a scope it has", "/write", scopes("orders.write"), None),
        ("one it has not", "/write", scopes("orders.read"), Some((403, "insufficient_scope"))),
        ("no purpose left", "/stock", scopes("orders.read"), Some((403, "insufficient_scope"))),
        ("its group", "/staff", json!({"scope": "stock"}), None),
        (
            "no group",
            "/staff",
            json!({"scope": "stock", "azp": "x"}),
            Some((403, "group_forbidden")),
        ),
        ("a user's claim", "/spain", scopes("stock"), None),
        (
            "a claim that may have been left out",
            "/unblocked",
            scopes("stock"),
            Some((403, "claim_forbidden")),
        ),
        ("no actor", "/alone", scopes("stock"), None),
        (
            "an actor",
            "/alone",
            json!({"scope": "stock", "act": {"sub": "robot"}}),
            Some((403, "claim_forbidden")),
        ),
        (
            "an audience of public tokens",
            "/api-only",
            scopes("stock"),
            Some((401, "claim_missing")),
        ),
    ] {
        let (mut world, from) = open(&[]);
        let first = begun(&mut world, &from, "/orders", claims);
        let step = given(&mut world, &from, path, &first);
        match expected {
            None => drop(forwarded(step)),
            Some((status, code)) => assert_eq!(denied(step), denial(status, code), "{case}"),
        }
    }
}

/// Nobody is asked, and what was not known stays so.
#[test]
fn user_info_is_that_of_the_beginning() {
    let degrade = json!({"service": "users", "path": "/users/{sub}",
        "claims": {"country": "/address/country"}, "failure_mode": "degrade"});
    let (mut world, from) = open(&[("/user_info", degrade)]);
    let bearer = format!("Bearer {}", token(scopes("stock")));
    let step = world.begin(head(&[(":path", "/orders"), ("authorization", &bearer)]));
    let first = field(&forwarded(world.answer(step, &failed())), "txn-token").unwrap();
    let again = replaced(&mut world, &from, "/orders", &first);
    assert_eq!(read(&mut world, &again)["tctx"]["enrichment"], "none");
    let step = given(&mut world, &from, "/spain", &first);
    assert_eq!(denied(step), denial(503, "user_info_unavailable"));
}

/// Never by a token that ended, revoked or not known any more; its end has no skew.
#[test]
fn it_ends_as_the_one_before() {
    let (mut world, from) = open(&[with_endpoint()]);
    let first = begun(&mut world, &from, "/orders", scopes("stock"));
    let second = replaced(&mut world, &from, "/orders", &first);
    world.pass(299);
    replaced(&mut world, &from, "/orders", &second);
    world.pass(1);
    for text in [&first, &second] {
        let step = given(&mut world, &from, "/orders", text);
        assert_eq!(denied(step), denial(401, "token_expired"));
    }
    let first = begun(&mut world, &from, "/orders", scopes("stock"));
    world.pass(1);
    revoke(&mut world, &from, &json!({"sub": "alice", "until": START + 9999}));
    let step = given(&mut world, &from, "/orders", &first);
    assert_eq!(denied(step), denial(401, "token_revoked"));
}

/// A consumer that was taken away or suspended is not one inside either, and its groups
/// are those that the transaction began with.
#[test]
fn consumers_are_those_of_now() {
    let entries =
        |entry: Value| [("/consumers", json!({"entries": [entry]})), signing()[0].clone()];
    let web = json!({"key": "web", "id": "1", "username": "web-app", "groups": ["staff"]});
    let (mut world, from) = open(&entries(web));
    let first = begun(&mut world, &from, "/orders", scopes("stock"));
    for (entry, path, expected) in [
        (
            json!({"key": "web", "id": "1", "username": "web-app", "enabled": false}),
            "/orders",
            Some((401, "consumer_unknown")),
        ),
        (json!({"key": "web", "id": "2"}), "/orders", Some((401, "consumer_unknown"))),
        (
            json!({"key": "web", "id": "1", "username": "web-app", "groups": ["others"]}),
            "/staff",
            None,
        ),
    ] {
        let (mut world, from) = open(&entries(entry.clone()));
        let step = given(&mut world, &from, path, &first);
        match expected {
            None => drop(forwarded(step)),
            Some((status, code)) => assert_eq!(denied(step), denial(status, code), "{entry}"),
        }
    }
}

/// Some of these names; the choice is made by the dice.
fn some(dice: &mut Random, names: &[&'static str]) -> Vec<&'static str> {
    names.iter().filter(|_| dice.below(2) == 0).copied().collect()
}

/// A gateway of this domain: what it adds to tokens, who its consumers are and what its
/// rules leave are as the dice fall.
fn any_shop(dice: &mut Random, named: &str) -> Vec<(&'static str, Value)> {
    const SCOPES: [&str; 3] = ["orders.read", "orders.write", "stock"];
    let lifetime = 31 + dice.below(270);
    let mut rules = Vec::new();
    for path in ["/a", "/b"] {
        let mut identity = json!({"ttl_seconds": 30 + dice.below(lifetime - 29)});
        let scopes = some(dice, &SCOPES);
        if !scopes.is_empty() {
            identity["scopes"] = json!(scopes);
        }
        if dice.below(2) == 0 {
            identity["claims"] =
                json!(some(dice, &["azp", "country", "type", "env", "added", "scp"]));
        }
        rules.push(json!({"match": {"path_prefix": path}, "identity": identity}));
    }
    let web = json!({"key": "web", "id": "1", "username": "web-app", "custom_id": "web",
        "groups": some(dice, &["staff", "admin"]), "trusted_without_scope": dice.below(2) == 0});
    let copied = json!({"copy": ([&["azp", "added", "scp"][..], &some(dice, &["acr"])].concat()),
        "set": {"env": named, "only": named}});
    vec![
        ("/rules", json!(rules)),
        ("/identity_token/claims", copied),
        ("/identity_token/ttl_seconds", json!(lifetime)),
        ("/consumers/entries", json!([web])),
        (
            "/claim_to_headers",
            json!([{"header": "x-country", "claim": "country"}, {"header": "x-env", "claim": "env"}]),
        ),
        signing()[0].clone(),
    ]
}

/// No member that was not there, and none with another value.
fn assert_within(after: &Value, before: &Value, case: &str) {
    for (name, value) in after.as_object().into_iter().flatten() {
        assert_eq!(Some(value), before.get(name), "{case}: {name} of {after} and {before}");
    }
}

fn assert_same_or_less(before: &Value, after: &Value, case: &str) {
    for name in ["iss", "txn", "sub", "aud", "client_id", "act"] {
        assert_eq!(before[name], after[name], "{case}: {name}");
    }
    let scopes = |claims: &Value| -> Vec<String> {
        claims["scope"].as_str().unwrap().split(' ').map(str::to_owned).collect()
    };
    let had = scopes(before);
    assert!(scopes(after).iter().all(|scope| had.contains(scope)), "{case}: {after}");
    let time = |claims: &Value, name: &str| claims[name].as_i64().expect("a time");
    assert!(time(after, "exp") <= time(before, "exp"), "{case}: {after}");
    assert!(time(after, "iat") >= time(before, "iat"), "{case}: {after}");
    assert_within(&after["tctx"], &before["tctx"], case);
    assert!(after["tctx"].get("scp").is_none(), "{case}: {after}");
    let context = |claims: &Value| {
        let mut context = claims["rctx"].as_object().unwrap().clone();
        let chain = context.remove("chain").unwrap_or_else(|| json!([]));
        (context, chain)
    };
    let (was, mut chain) = context(before);
    chain.as_array_mut().unwrap().push(before["req_wl"].clone());
    assert_eq!((was, chain), context(after), "{case}");
    for name in after.as_object().unwrap().keys() {
        assert!(before.get(name).is_some(), "{case}: {name} in {after}");
    }
}

/// What goes on; all else has no scope left.
fn passed(step: Step) -> Option<HeaderEdits> {
    if matches!(step, Step::Done(Verdict::Forward(_), _)) {
        return Some(forwarded(step));
    }
    assert_eq!(denied(step), denial(403, "insufficient_scope"));
    None
}

/// No scope, claim, actor, audience or lifetime beyond those of the token that was given
/// back, whatever the gateway that replaces it would say of a public one: neither in the
/// token nor in a header.
#[test]
fn nothing_is_made_up_by_a_replacement() {
    let mut replacements = 0;
    for seed in 1..=200 {
        let mut dice = Random(seed);
        let held = some(&mut dice, &["orders.read", "orders.write", "stock", "admin"]).join(" ");
        let act = [Value::Null, json!({"sub": "robot"}), json!({"sub": "a", "act": {"sub": "b"}})];
        let (mut first, from) = open(&any_shop(&mut dice, "first"));
        let claims = json!({"scope": held, "scp": held, "act": act[dice.below(3)],
            "added": "of token", "acr": "1",
            "exp": START + 60 + i64::try_from(dice.below(600)).unwrap()});
        let bearer = format!("Bearer {}", token(claims));
        comes_from(&from, OUTSIDE);
        let step = first.begin(head(&[(":path", "/a"), ("authorization", &bearer)]));
        let step = answered_user(&mut first, step);
        let Some(begun) = passed(step) else { continue };
        let mut text = field(&begun, "txn-token").unwrap();
        let (mut second, from) = open(&any_shop(&mut dice, "second"));
        for path in ["/b", "/a", "/b"] {
            let case = format!("{seed} {path}");
            second.pass(i64::try_from(dice.below(10)).unwrap());
            let step = given(&mut second, &from, path, &text);
            let Some(edits) = passed(step) else { break };
            let next = field(&edits, "txn-token").expect("a transaction token");
            let (before, after) = (read(&mut second, &text), read(&mut second, &next));
            replacements += 1;
            assert_same_or_less(&before, &after, &case);
            let told = &before["tctx"];
            for (header, claim) in [("x-country", "country"), ("x-env", "env")] {
                let value = field(&edits, header);
                assert!(value.is_none() || value.as_deref() == told[claim].as_str(), "{case}");
            }
            let groups = field(&edits, "x-consumer-groups").unwrap_or_default();
            for group in groups.split(',').filter(|group| !group.is_empty()) {
                let had = told["groups"].as_array().is_some_and(|had| had.contains(&json!(group)));
                assert!(had, "{case}: {group} is not in {told}");
            }
            text = next;
        }
    }
    assert!(replacements > 100, "{replacements}");
}

/// Says to the endpoint for revocations what ended.
fn revoke(world: &mut World, from: &From, entry: &Value) {
    comes_from(from, OUTSIDE);
    let bearer = format!("Bearer {}", token(json!({"scope": "x", "sub": "operator"})));
    let body = json!({"entries": [entry]}).to_string();
    let length = body.len().to_string();
    let post = [
        (":method", "POST"),
        (":path", "/revoke"),
        ("authorization", &*bearer),
        ("content-length", &length),
    ];
    let (now, step) = (world.now(), world.begin(head(&post)));
    let Step::Receive(submission) = step else { panic!("a body is wanted: {step:?}") };
    assert_eq!(answered(world.gateway.submit(submission, Some(body.into()), now)).status, 204);
}

fn with_endpoint() -> (&'static str, Value) {
    let endpoint = json!({"path": "/revoke", "requires": {"scopes_all": ["x"]}});
    ("/revocation", json!({ "endpoint": endpoint }))
}

/// A transaction token is younger than the token that it was minted for: it counts by the
/// times and names of that one, also once it was replaced. What revokes the one revokes
/// the other, and no more.
#[test]
fn what_ends_a_token_ends_its_transactions() {
    let issued = json!({"scope": "stock", "iat": START - 60, "jti": "t1", "sid": "s1",
        "azp": "web", "client_id": "app"});
    let unnamed = json!({"scope": "stock", "azp": null, "iat": null});
    for (case, claims, entry, is_over) in [
        ("a logout", &issued, json!({"sub": "alice", "issued_before": START + 1}), true),
        ("one of before", &issued, json!({"sub": "alice", "issued_before": START - 60}), false),
        (
            "of this issuer",
            &issued,
            json!({"sub": "alice", "issued_before": START + 1,
            "iss": "https://auth.example"}),
            true,
        ),
        ("of another", &issued, json!({"sub": "alice", "iss": "https://else.example"}), false),
        ("no time", &unnamed, json!({"sub": "alice", "issued_before": START - 9999}), true),
        ("its session", &issued, json!({"sid": "s1"}), true),
        ("another session", &issued, json!({"sid": "s2"}), false),
        ("the token", &issued, json!({"jti": "t1"}), true),
        ("another token", &issued, json!({"jti": "t2"}), false),
        ("its client", &issued, json!({"client_id": "web"}), true),
        ("by the other claim", &issued, json!({"client_id": "app"}), true),
        ("a session of no name", &unnamed, json!({"sid": "s1"}), false),
    ] {
        for turns in 0..3 {
            let (mut world, from) = open(&[with_endpoint()]);
            let mut text = begun(&mut world, &from, "/orders", claims.clone());
            for _ in 0..turns {
                world.pass(1);
                text = replaced(&mut world, &from, "/stock", &text);
            }
            revoke(&mut world, &from, &entry);
            world.pass(1);
            let step = given(&mut world, &from, "/orders", &text);
            if is_over {
                assert_eq!(denied(step), denial(401, "token_revoked"), "{case}, {turns}");
            } else {
                forwarded(step);
            }
        }
    }
}

/// The public token is revoked by its own `sub`, where another claim is the subject.
#[test]
fn a_transaction_ends_by_the_issuers_name_of_the_user() {
    let (mut world, from) = open(&[
        with_endpoint(),
        ("/providers/shop/subject_claims", json!(["oid", "sub"])),
        ("/user_info", Value::Null),
        ("/rules", json!([])),
        ("/claim_to_headers", Value::Null),
    ]);
    let claims = json!({"scope": "stock", "oid": "o1", "sub": "pairwise"});
    let first = begun(&mut world, &from, "/orders", claims);
    assert_eq!(read(&mut world, &first)["sub"], "o1");
    let again = replaced(&mut world, &from, "/orders", &first);
    assert_eq!(read(&mut world, &again)["sub"], "o1");
    revoke(&mut world, &from, &json!({"sub": "pairwise"}));
    for text in [first, again] {
        let step = given(&mut world, &from, "/orders", &text);
        assert_eq!(denied(step), denial(401, "token_revoked"));
    }
}

/// What is not in a transaction token cannot be found in it: an entry by another claim
/// reaches it no sooner than its end, which is the bound for all of its kind.
#[test]
fn another_claim_reaches_a_transaction_at_its_end() {
    let (mut world, from) = open(&[with_endpoint()]);
    let claims = json!({"scope": "stock", "email": "a@shop.example", "exp": START + 200});
    let first = begun(&mut world, &from, "/orders", claims.clone());
    revoke(&mut world, &from, &json!({"claim": "email", "value": "a@shop.example"}));
    let bearer = format!("Bearer {}", token(claims));
    let public = head(&[(":path", "/orders"), ("authorization", &bearer)]);
    assert_eq!(denied(world.begin(public)), denial(401, "token_revoked"));
    world.pass(199);
    let last = replaced(&mut world, &from, "/orders", &first);
    world.pass(1);
    for text in [first, last] {
        let step = given(&mut world, &from, "/orders", &text);
        assert_eq!(denied(step), denial(401, "token_expired"));
    }
    // Unless it is copied.
    let copied = json!({"copy": ["email"]});
    let (mut world, from) = open(&[with_endpoint(), ("/identity_token/claims", copied)]);
    let claims = json!({"scope": "stock", "email": "a@shop.example"});
    let first = begun(&mut world, &from, "/orders", claims);
    revoke(&mut world, &from, &json!({"claim": "email", "value": "A@shop.example"}));
    let step = given(&mut world, &from, "/orders", &first);
    assert_eq!(denied(step), denial(401, "token_revoked"));
}

/// One of a gateway that did not say yet when its public token was issued: nothing is
/// spared.
#[test]
fn a_transaction_token_that_does_not_say_its_origins_time_is_not_spared() {
    let (mut world, from) = open(&[&[with_endpoint()][..], &signing()].concat());
    let first = begun(&mut world, &from, "/orders", scopes("stock"));
    let mut context = read(&mut world, &first)["tctx"].clone();
    context["origin"].as_object_mut().unwrap().remove("iat");
    let old = forged(&first, json!({}), json!({ "tctx": context }), &KEY_B);
    replaced(&mut world, &from, "/orders", &old);
    revoke(&mut world, &from, &json!({"sub": "alice", "issued_before": START - 9999}));
    replaced(&mut world, &from, "/orders", &first);
    let step = given(&mut world, &from, "/orders", &old);
    assert_eq!(denied(step), denial(401, "token_revoked"));
}
