//! How a credential could be turned against the gateway, and cannot.

use serde_json::{Value, json};

use crate::keys::{SECRET_32, public_pem, token_of};
use crate::support::*;
use crate::table::*;

/// A user of the other provider, beside the plugin.
fn beside(edits: &[(&str, Value)]) -> Value {
    let mut config = configured(json!({}));
    config["providers"]["shop"] = local([])["providers"]["shop"].clone();
    config["identity_token"]["subject"] = json!("{sub}");
    edits.iter().for_each(|(pointer, value)| put(&mut config, pointer, value.clone()));
    config
}

/// Who holds a secret can write any claim: none of them counts but the dates.
#[test]
fn a_credential_proves_whose_it_is_and_no_more() {
    let rules = json!([
        {"match": {"path": "/scope"}, "requires": {"scopes_all": ["admin"]}},
        {"match": {"path": "/claim"}, "requires": {"claims": {"role": ["admin"]}}},
        {"match": {"path": "/shop"}, "requires": {"providers": ["shop"]}},
        {"match": {"path": "/group"}, "requires": {"groups_any": ["root"]}},
        {"match": {"path": "/staff"}, "requires": {"groups_any": ["staff"]}},
    ]);
    let config =
        beside(&[("/rules", rules), ("/identity_token/claims", json!({"copy": ["role"]}))]);
    let token = hs256(json!({
        "sub": "ceo", "scope": "admin", "role": "admin", "groups": ["root"], "azp": "web",
    }));
    let bearer = format!("Bearer {token}");
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let mut at = |path: &str| world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        for path in ["/scope", "/claim", "/shop", "/group"] {
            assert_eq!(answered(at(path)).status, 403, "{path}");
        }
        let edits = forwarded(at("/staff"));
        let identity = world.identity(&edits);
        assert_eq!(identity["sub"], "key-HS256", "not the ceo");
        assert_eq!(identity["consumer"]["username"], "alice");
        for claim in ["scope", "role", "client_id"] {
            assert_eq!(identity.get(claim), None, "{claim}");
        }
    }
}

/// Where the holders are issuers, their word counts when the operator says so.
#[test]
fn claims_count_when_they_are_trusted() {
    let config = beside(&[("/providers/legacy/trust_claims", json!(true))]);
    let mut world = World::new(&config, ENVOY);
    let edits = world.forwarded(&hs256(json!({"sub": "carol", "scope": "read"})));
    let identity = world.identity(&edits);
    assert_eq!((&identity["sub"], &identity["scope"]), (&json!("carol"), &json!("read")));
    let edits = world.forwarded(&hs256(json!({})));
    assert_eq!(world.identity(&edits)["sub"], "key-HS256", "without a sub");
    for sub in [json!(""), json!(7), json!([])] {
        let claims = json!({"iss": "key-HS256", "exp": START + 60, "sub": sub});
        let token = token_of(&json!({"alg": "HS256"}), &claims, "HS256", SECRET_32);
        assert_eq!(answered(world.get(&token)).status, 401, "{sub}");
    }
}

/// User info is asked about the credential, not about whom its holder names.
#[test]
fn user_info_is_that_of_the_credential() {
    let users = with_users([])["user_info"].clone();
    let config = beside(&[("/user_info", users)]);
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&hs256(json!({"sub": "ceo"})));
    assert_eq!(awaits(step).0.callout.path, "/users/key-HS256");
}

/// RS256 to HS256: the public key is known to everybody.
#[test]
fn a_public_key_is_no_secret() {
    let claims = json!({"iss": "key-RS256", "exp": START + 60});
    for secret in [public_pem("RS256"), public_pem("RS256").trim().to_owned()] {
        let token = token_of(&json!({"alg": "HS256"}), &claims, "HS256", &secret);
        for host in HOSTS {
            assert_message(&json!({}), &token, "Invalid algorithm", host);
        }
    }
}

/// A credential's key signs for that credential only.
#[test]
fn nobody_signs_for_another() {
    for (case, header, claims) in [
        ("another's key in iss", json!({"alg": "HS384"}), json!({"iss": "key-HS384"})),
        (
            "kid is not looked at",
            json!({"alg": "HS384", "kid": "key-HS256"}),
            json!({"iss": "key-HS384"}),
        ),
    ] {
        let mut claims = claims;
        claims["exp"] = json!(START + 60);
        // Made with alice's HS256 secret.
        let token = token_of(&header, &claims, "HS384", SECRET_32);
        println!("{case}");
        assert_message(&json!({}), &token, "Invalid signature", ENVOY);
    }
    // The claim comes before the header, whichever is signed for.
    let header = json!({"alg": "HS256", "iss": "key-HS256"});
    let claims = json!({"iss": "key-RS256", "exp": START + 60});
    let token = token_of(&header, &claims, "HS256", SECRET_32);
    assert_message(&json!({}), &token, "Invalid algorithm", ENVOY);
}

/// A token of a provider that is known by `iss` never becomes a credential's,
/// nor the other way round.
#[test]
fn providers_do_not_take_each_others_tokens() {
    let config = beside(&[
        ("/providers/legacy/key_claim_name", json!("kid")),
        ("/consumers/optional", json!(true)),
    ]);
    for host in HOSTS {
        let mut world = World::new(&config, host);
        let edits = world.forwarded(&alice());
        assert_eq!(world.identity(&edits)["sub"], "alice");
        // alice's credential says that it is from the shop's issuer.
        let claims = claims(json!({}));
        let header = json!({"alg": "HS256", "kid": "key-HS256"});
        let forged = token_of(&header, &claims, "HS256", SECRET_32);
        assert_eq!(answered(world.get(&forged)).status, 401);
    }
}

#[test]
fn a_token_bound_to_a_key_is_refused() {
    let token = hs256(json!({"cnf": {"jkt": "x"}}));
    assert_message(&json!({}), &token, "Bad token; invalid claims", ENVOY);
}

#[test]
fn the_gateways_own_tokens_are_refused() {
    for typ in ["identity+jwt", "application/Identity+JWT", "txntoken+jwt"] {
        let claims = json!({"iss": "key-HS256", "exp": START + 60});
        let token = token_of(&json!({"alg": "HS256", "typ": typ}), &claims, "HS256", SECRET_32);
        assert_message(&json!({}), &token, "Bad token; invalid claims", ENVOY);
    }
}

/// A token that was good is not good for ever, and never for longer than `exp`.
#[test]
fn a_cached_token_ends() {
    for host in HOSTS {
        let mut world = World::new(&configured(json!({})), host);
        let token = hs256(json!({"exp": START + 10}));
        world.forwarded(&token);
        world.pass(9);
        world.forwarded(&token);
        world.pass(1);
        let reply = answered(world.get(&token));
        assert_eq!(reply.body, br#"{"exp":"token expired"}"#);
    }
}

/// No bit of a token may be another.
#[test]
fn every_changed_bit_is_denied() {
    let token = hs256(json!({}));
    let mut world = World::new(&configured(json!({})), ENVOY);
    for at in 0..token.len() {
        for bit in 0..8 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let value = [b"Bearer ", bytes.as_slice()].concat();
            let fields = [
                (":method".to_owned(), b"GET".to_vec()),
                (":path".to_owned(), b"/".to_vec()),
                ("authorization".to_owned(), value),
            ];
            let step = world.begin(gatepass::http::RequestHead::new(fields));
            assert_eq!(answered(step).status, 401, "byte {at}, bit {bit}");
        }
    }
}

/// Thousands of credentials are found as fast as one.
#[test]
fn there_may_be_many_credentials() {
    let entries = (0..2000).map(|number| {
        json!({
            "username": format!("u{number}"),
            "jwt_secrets": [{"key": format!("k{number}"), "secret": SECRET_32}],
        })
    });
    let mut config = configured(json!({}));
    config["consumers"]["entries"] = entries.collect();
    let mut world = World::new(&config, ENVOY);
    for number in [0, 1000, 1999] {
        let edits = world.forwarded(&hs256(json!({"iss": format!("k{number}")})));
        let expected = format!("u{number}");
        assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some(expected.as_str()));
    }
}

/// Shut out by its entry, whatever its credential; and known to rules by name.
#[test]
fn a_disabled_consumer_is_shut_out_with_its_credentials() {
    let rule = |name: &str| json!([{"match": {}, "requires": {"consumers": [name]}}]);
    let token = hs256(json!({}));
    let mut world = World::new(&beside(&[("/rules", rule("alice"))]), ENVOY);
    world.forwarded(&token);
    let config = beside(&[
        ("/consumers/entries/0/enabled", json!(false)),
        ("/consumers/optional", json!(true)),
    ]);
    for host in HOSTS {
        let mut world = World::new(&config, host);
        assert_eq!(answered(world.get(&token)).status, 401);
    }
}
