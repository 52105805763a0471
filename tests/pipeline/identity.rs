//! The identity token: what it says, how long it is used, and the keys it is
//! verified with.

use serde_json::{Value, json};

use crate::support::*;

/// However the path to a claim is written, its copy is the claim of that path.
#[test]
fn a_copied_claim_becomes_a_header() {
    let claims = json!({"a": {"b": "in"}, "kubernetes.io": {"namespace": "ns"}});
    let bearer = token(claims);
    for (path, expected) in [
        (json!("a.b"), "in"),
        (json!(["a", "b"]), "in"),
        (json!("/a/b"), "in"),
        (json!(["kubernetes.io", "namespace"]), "ns"),
        (json!("/kubernetes.io/namespace"), "ns"),
    ] {
        let config = local([
            ("/identity_token/claims", json!({"copy": [path]})),
            ("/claim_to_headers", json!([{"header": "x-copy", "claim": path}])),
        ]);
        let edits = World::new(&config, ENVOY).forwarded(&bearer);
        assert_eq!(field(&edits, "x-copy").as_deref(), Some(expected), "{path}");
    }
    // A path that is exact finds no claim that only looks like it.
    let config = local([
        ("/identity_token/claims", json!({"set": {"a.b": "set"}})),
        ("/claim_to_headers", json!([{"header": "x-copy", "claim": ["a", "b"]}])),
    ]);
    let edits = World::new(&config, ENVOY).forwarded(&bearer);
    assert_eq!(field(&edits, "x-copy"), None);
}

/// The identity claims for a token with these changes.
fn minted(config: &Value, changes: Value) -> Value {
    let mut world = World::new(config, ENVOY);
    let edits = world.forwarded(&token(changes));
    world.identity(&edits)
}

#[test]
fn claims_of_the_identity() {
    let plain = local([]);
    let several = local([("/identity_token/audiences", json!(["services", "reports"]))]);
    let consumers = local([(
        "/consumers",
        json!({"entries": [{"key": "web", "id": "5c0c", "username": "w", "groups": ["g", "h"]}]}),
    )]);
    let copying = local([(
        "/identity_token/claims",
        json!({"copy": ["tenant", "scope", "act", "absent"], "set": {"env": "prod", "n": [1]}}),
    )]);
    let both = json!({"azp": "web", "client_id": "x"});
    for (case, config, changes, claim, expected) in [
        ("one audience", &plain, json!({}), "aud", json!("services")),
        ("two audiences", &several, json!({}), "aud", json!(["services", "reports"])),
        ("the client by azp", &plain, both, "client_id", json!("web")),
        ("by client_id", &plain, json!({"azp": null, "client_id": "x"}), "client_id", json!("x")),
        ("no client", &plain, json!({"azp": null}), "client_id", Value::Null),
        ("no text", &plain, json!({"azp": 7}), "client_id", Value::Null),
        ("scope", &plain, json!({"scope": "b a b"}), "scope", json!("b a")),
        ("scp", &plain, json!({"scp": ["a", "b c", "d"]}), "scope", json!("a d")),
        ("scopes", &plain, json!({"scopes": "a  b"}), "scope", json!("a b")),
        ("no scope", &plain, json!({"scope": 7}), "scope", Value::Null),
        ("a copied scope is normal", &copying, json!({"scope": ["a", "b"]}), "scope", json!("a b")),
        ("a copied scope of no kind", &copying, json!({"scope": {"a": 1}}), "scope", Value::Null),
        ("copied", &copying, json!({"tenant": {"id": 1}}), "tenant", json!({"id": 1})),
        ("copied actor", &copying, json!({"act": {"sub": "x"}}), "act", json!({"sub": "x"})),
        ("nothing to copy", &copying, json!({}), "absent", Value::Null),
        ("set", &copying, json!({"env": "dev"}), "env", json!("prod")),
        ("set, a list", &copying, json!({}), "n", json!([1])),
        ("not copied", &plain, json!({"tenant": "x"}), "tenant", Value::Null),
        ("no groups", &plain, json!({"groups": ["staff"]}), "groups", Value::Null),
        ("groups", &consumers, json!({"groups": ["staff"]}), "groups", json!(["g", "h"])),
        (
            "consumer",
            &consumers,
            json!({"consumer": "x"}),
            "consumer",
            json!({"id": "5c0c", "username": "w"}),
        ),
        ("no consumer", &plain, json!({"consumer": "x"}), "consumer", Value::Null),
        (
            "enrichment is ours to say",
            &plain,
            json!({"enrichment": "x"}),
            "enrichment",
            Value::Null,
        ),
    ] {
        assert_eq!(minted(config, changes)[claim], expected, "{case}");
    }
}

/// A reply cannot decide who the user is: only mapped names go in.
#[test]
fn user_info_fills_mapped_claims_only() {
    let mut world = World::new(&with_users([]), ENVOY);
    let step = world.get(&alice());
    let reply = json!({
        "sub": "alice", "iss": "x", "aud": "x", "exp": 9, "groups": ["admin"], "scope": "admin",
        "address": {"country": "ES"},
    });
    let edits = forwarded(world.answer(step, &ok(&reply)));
    let claims = world.identity(&edits);
    let mut names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["aud", "client_id", "country", "exp", "iat", "iss", "jti", "nbf", "sub"]);
}

// draft-ietf-oauth-transaction-tokens (R32)
#[test]
fn an_identity_does_not_outlive_the_token() {
    let config = local([("/identity_token/ttl_seconds", 120.into())]);
    for (case, exp, expected) in [
        ("a longer token", json!(START + 121), START + 120),
        ("as long", json!(START + 120), START + 120),
        ("a shorter token", json!(START + 60), START + 60),
        ("a fraction", json!(START as f64 + 60.9), START + 60),
    ] {
        let claims = minted(&config, json!({ "exp": exp }));
        assert_eq!(claims["exp"], expected, "{case}");
        assert_eq!((&claims["iat"], &claims["nbf"]), (&json!(START), &json!(START)), "{case}");
    }
    // Accepted within the clock skew, 60 s, but what is minted would be over.
    for profile in ["identity", "txn_token"] {
        let mut config = config.clone();
        put(&mut config, "/identity_token/profile", profile.into());
        put(&mut config, "/identity_token/scopes", json!(["orders"]));
        put(&mut config, "/providers/shop/trusted_without_scope", true.into());
        let mut world = World::new(&config, ENVOY);
        for exp in [json!(START - 59), json!(START), json!(START as f64 + 0.9)] {
            let late = token(json!({"iat": START - 600, "exp": exp}));
            assert_eq!(world.denied(&late), denial(401, "token_expired"), "{profile}");
        }
        world.forwarded(&token(json!({"iat": START - 600, "exp": START + 1})));
    }
    let mut endless = config;
    put(&mut endless, "/providers/shop/require_expiration", false.into());
    assert_eq!(minted(&endless, json!({"exp": null}))["exp"], START + 120, "no end");
}

/// The `jti` of the identity that a request gets.
fn jti(world: &mut World, token: &str) -> String {
    let edits = world.forwarded(token);
    world.identity(&edits)["jti"].as_str().unwrap().to_owned()
}

#[test]
fn an_identity_is_used_again_until_shortly_before_its_end() {
    for (case, changes, life) in
        [("its own end", json!({}), 300), ("the token's end", json!({"exp": START + 100}), 100)]
    {
        let mut world = World::new(&local([]), ENVOY);
        let token = token(changes);
        let first = jti(&mut world, &token);
        world.millis += (life - 30) * 1000 - 1;
        assert_eq!(jti(&mut world, &token), first, "{case}");
        world.millis += 1;
        assert_ne!(jti(&mut world, &token), first, "{case}");
    }
}

#[test]
fn an_identity_is_minted_anew_when_the_user_is_asked_again() {
    let config = with_users([("/user_info/cache", json!({"ttl_seconds": 20}))]);
    let mut world = World::new(&config, ENVOY);
    let country = |country: &str| ok(&json!({"sub": "alice", "address": {"country": country}}));
    let step = world.get(&alice());
    forwarded(world.answer(step, &country("ES")));
    world.millis += 19_999;
    let edits = world.forwarded(&alice());
    assert_eq!(world.identity(&edits)["country"], "ES");
    world.millis += 1;
    let step = world.get(&alice());
    let edits = forwarded(world.answer(step, &country("FR")));
    assert_eq!(world.identity(&edits)["country"], "FR");
}

/// The token's claims are put away after the first mint: the next one needs
/// them again.
#[test]
fn later_identities_say_the_same() {
    let claims = json!({"claims": {"copy": ["azp", "roles"]}, "ttl_seconds": 60});
    let merged = ["claims", "ttl_seconds"]
        .map(|name| (format!("/identity_token/{name}"), claims[name].clone()));
    let config = local(merged.each_ref().map(|(path, value)| (path.as_str(), value.clone())));
    let mut world = World::new(&config, ENVOY);
    let token = token(json!({"azp": "web", "roles": [{"a": 1.5}, null], "scope": "a b"}));
    let mut say = || {
        let edits = world.forwarded(&token);
        let mut identity = world.identity(&edits);
        world.pass(40);
        for changing in ["jti", "iat", "nbf", "exp"] {
            assert!(identity.as_object_mut().unwrap().remove(changing).is_some());
        }
        identity
    };
    let first = say();
    assert_eq!(first["roles"], json!([{"a": 1.5}, null]));
    assert_eq!((&first["client_id"], &first["scope"]), (&json!("web"), &json!("a b")));
    assert_eq!([say(), say()], [first.clone(), first]);
}

#[test]
fn mints_have_ids_of_their_own() {
    let config = local([("/limits", json!({"token_cache_entries": 0}))]);
    let mut world = World::new(&config, ENVOY);
    let mut ids: Vec<_> = (0..100).map(|_| jti(&mut world, &alice())).collect();
    // Another worker, at the same time, for the same token.
    let mut other = World::new(&config, ENVOY);
    let settings = gatepass::config::load(config.to_string().as_bytes(), &|_| None, None).unwrap();
    other.gateway = gatepass::pipeline::Pipeline::new(settings, ENVOY, *b"another seed 16b");
    ids.extend((0..100).map(|_| jti(&mut other, &alice())));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

/// ES256 now, EdDSA from a later time on, when ES256 retires a little later.
fn rotating() -> Value {
    local([(
        "/identity_token/signing_keys",
        json!([
            {"algorithm": "EdDSA", "private_key": gateway_key("EdDSA"), "kid": "new",
             "sign_from": START + 100},
            {"algorithm": "ES256", "private_key": gateway_key("ES256"), "kid": "old",
             "retire_at": START + 500},
        ]),
    )])
}

fn kid(edits: &gatepass::verdict::HeaderEdits) -> String {
    let token = field(edits, "x-identity-token").unwrap();
    jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
}

fn published(world: &mut World) -> Vec<String> {
    let reply = answered(world.begin(head(&[(":path", JWKS_PATH)])));
    let keys: Value = serde_json::from_slice(&reply.body).unwrap();
    let keys = keys["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn signing_keys_take_turns() {
    let mut world = World::new(&rotating(), ENVOY);
    let old = world.forwarded(&alice());
    for (case, millis, signs, keys) in [
        ("at the start", 0, "old", &["new", "old"][..]),
        ("before the new one", 99_999, "old", &["new", "old"]),
        ("when the new one's time has come", 100_000, "new", &["new", "old"]),
        ("before the old one retires", 499_999, "new", &["new", "old"]),
        ("when it has retired", 500_000, "new", &["new", "old"]),
        ("before its last token ends", 799_999, "new", &["new", "old"]),
        ("when its last token has ended", 800_000, "new", &["new"]),
    ] {
        world.millis = START * 1000 + millis;
        let edits = world.forwarded(&alice());
        assert_eq!(kid(&edits), signs, "{case}");
        assert_eq!(published(&mut world), keys, "{case}");
        world.identity(&edits);
        if millis < 300_000 {
            world.identity(&old);
        }
    }
}

#[test]
fn without_a_key_in_use_nothing_is_minted() {
    for (case, span) in
        [("too early", json!({"sign_from": START + 1})), ("too late", json!({"retire_at": START}))]
    {
        let mut config = local([]);
        for (name, value) in span.as_object().unwrap() {
            config["identity_token"]["signing_keys"][0][name] = value.clone();
        }
        let mut world = World::new(&config, ENVOY);
        assert_eq!(world.denied(&alice()), denial(503, "identity_unavailable"), "{case}");
    }
}

// RFC 7519 section 4.1.4 (R75)
#[test]
fn a_clock_that_is_not_set_decides_nothing() {
    let mut world = World::new(&local([]), ENVOY);
    world.forwarded(&alice());
    for seconds in [0, -1, 1_577_836_799] {
        world.set_clock(seconds);
        assert_eq!(world.denied(&alice()), denial(503, "identity_unavailable"), "{seconds}");
        assert_eq!(detail(world.get(&alice())), "the host's clock is not set");
    }
}

// RFC 7638 section 3 (R59)
#[test]
fn the_key_set_is_for_everybody() {
    let mut world = World::new(&rotating(), KONG);
    let forged = ("x-consumer-id", "1");
    let get = answered(world.begin(head(&[(":path", JWKS_PATH), forged, forged])));
    assert_eq!(get.status, 200);
    let etag = reply_field(&get, "etag").unwrap().to_owned();
    for (name, expected) in
        [("content-type", "application/jwk-set+json"), ("cache-control", "public, max-age=300")]
    {
        assert_eq!(reply_field(&get, name), Some(expected));
    }
    let keys: Value = serde_json::from_slice(&get.body).unwrap();
    let public = ["alg", "crv", "kid", "kty", "use", "x", "y"];
    for key in keys["keys"].as_array().unwrap() {
        for (name, _) in key.as_object().unwrap() {
            assert!(public.contains(&name.as_str()), "{name}");
        }
        assert_eq!(key["use"], "sig");
        let algorithm = if key["kid"] == "old" { "ES256" } else { "EdDSA" };
        assert_eq!(key["alg"], algorithm, "{key}");
    }

    for (case, method, tags, status) in [
        ("HEAD", "HEAD", None, 200),
        ("with a query", "GET", None, 200),
        ("known", "GET", Some(etag.clone()), 304),
        ("known, weak", "GET", Some(format!("W/{etag}")), 304),
        ("among others", "HEAD", Some(format!("\"x\", {etag}")), 304),
        ("any", "GET", Some("*".to_owned()), 304),
        ("another", "GET", Some("\"x\"".to_owned()), 200),
        ("POST", "POST", None, 405),
        ("PUT", "PUT", Some(etag.clone()), 405),
        ("OPTIONS", "OPTIONS", None, 405),
    ] {
        let path = format!("{JWKS_PATH}?x");
        let mut fields = vec![(":method", method), (":path", path.as_str())];
        if let Some(tags) = &tags {
            fields.push(("if-none-match", tags));
        }
        let reply = answered(world.begin(head(&fields)));
        assert_eq!(reply.status, status, "{case}");
        match status {
            405 => assert_eq!(reply_field(&reply, "allow"), Some("GET, HEAD"), "{case}"),
            _ => assert_eq!(reply_field(&reply, "etag"), Some(etag.as_str()), "{case}"),
        }
        assert_eq!(reply.body.is_empty(), status != 200, "{case}");
    }
    // Another set, another tag.
    world.pass(800);
    let later = answered(world.begin(head(&[(":path", JWKS_PATH), ("if-none-match", &etag)])));
    assert_eq!(later.status, 200);
}

#[test]
fn only_its_own_path_is_the_key_set() {
    let mut world = World::new(&local([("/identity_token/jwks_path", "/keys".into())]), ENVOY);
    assert_eq!(answered(world.begin(head(&[(":path", "/keys")]))).status, 200);
    for path in [JWKS_PATH, "/keys/", "/KEYS", "/keysx", "/%6beys"] {
        let step = world.begin(head(&[(":path", path)]));
        assert_eq!(denied(step), denial(401, "token_missing"), "{path}");
    }
}

/// For verifiers that begin with the issuer, or read PEM only.
#[test]
fn the_issuer_says_where_its_keys_are() {
    let config = local([
        ("/identity_token/issuer", "https://gateway.internal/a".into()),
        ("/identity_token/discovery_path", "/.well-known/openid-configuration".into()),
        ("/identity_token/pem_path", "/keys.pem".into()),
    ]);
    let mut world = World::new(&config, ENVOY);
    let ask = |world: &mut World, path: &str| {
        let reply = answered(world.begin(head(&[(":path", path)])));
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply_field(&reply, "cache-control"), Some("public, max-age=300"));
        serde_json::from_slice::<Value>(&reply.body).unwrap()
    };
    assert_eq!(
        ask(&mut world, "/.well-known/openid-configuration"),
        json!({
            "issuer": "https://gateway.internal/a",
            "jwks_uri": format!("https://gateway.internal{JWKS_PATH}"),
            "id_token_signing_alg_values_supported": ["ES256"],
            "subject_types_supported": ["public"],
            "response_types_supported": [], "grant_types_supported": [],
        })
    );
    let keys = ask(&mut world, JWKS_PATH);
    let pem = ask(&mut world, "/keys.pem");
    let pem = pem.as_object().unwrap();
    assert_eq!(pem.len(), 1);
    let text = pem[keys["keys"][0]["kid"].as_str().unwrap()].as_str().unwrap();
    assert!(text.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{text}");
    // Nobody takes it for the authorization server of a resource.
    let resources = json!([{"resource": "https://shop.example/mcp"}]);
    let mut config = config;
    put(&mut config, "/resources", resources);
    let mut world = World::new(&config, ENVOY);
    let at = [(":path", "/.well-known/openid-configuration"), (":authority", "shop.example")];
    assert_eq!(answered(world.begin(head(&at))).status, 404);
    let at = [(":path", "/.well-known/openid-configuration"), (":authority", "gateway.internal")];
    assert_eq!(answered(world.begin(head(&at))).status, 200);
}
