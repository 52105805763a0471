//! Tokens as issuers really make them: another subject, another issuer for each
//! tenant, clients and groups under other names, and what an issuer says of a JWT
//! when it is asked.

use gatepass::callout::{Answer, CalloutReply};
use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

/// The identity that services get for a token with these claims.
fn identity_of(config: &Value, changes: Value) -> Value {
    let mut world = World::new(config, ENVOY);
    let edits = world.forwarded(&token(changes));
    world.identity(&edits)
}

#[test]
fn the_subject_is_the_first_that_is_there() {
    let config = local([("/providers/shop/subject_claims", json!(["sub", "ext.id", "client_id"]))]);
    for (case, changes, subject) in [
        ("sub", json!({"client_id": "robot"}), "alice"),
        ("no sub", json!({"sub": null, "client_id": "robot"}), "robot"),
        ("an empty sub", json!({"sub": "", "client_id": "robot"}), "robot"),
        ("a number is none", json!({"sub": 7, "client_id": "robot"}), "robot"),
        (
            "nor is one of another claim",
            json!({"sub": [], "ext": {"id": 7}, "client_id": "robot"}),
            "robot",
        ),
        ("one inside", json!({"sub": null, "ext": {"id": "7"}, "client_id": "robot"}), "7"),
    ] {
        assert_eq!(identity_of(&config, changes)["sub"], subject, "{case}");
    }
    for (case, changes, code) in [
        ("none of them", json!({"sub": null}), "claim_missing"),
        ("a number alone", json!({"sub": 7, "client_id": null}), "token_malformed"),
        ("one of another claim", json!({"sub": null, "ext": {"id": 7}}), "claim_mismatch"),
        ("too long", json!({"sub": "x".repeat(513), "client_id": "robot"}), "token_malformed"),
    ] {
        let mut world = World::new(&config, ENVOY);
        assert_eq!(world.denied(&token(changes)), denial(401, code), "{case}");
    }
    let mut world = World::new(&local([]), ENVOY);
    let robot = token(json!({"sub": null, "client_id": "robot"}));
    assert_eq!(world.denied(&robot), denial(401, "claim_missing"), "sub alone unless said");
}

/// Where a claim takes the place of a subject, it is one: for user info, and for
/// who revokes.
#[test]
fn another_subject_is_one_everywhere() {
    let subject = ("/providers/shop/subject_claims", json!(["sub", "client_id"]));
    let robot = token(json!({"sub": null, "client_id": "robot"}));
    let mut world = World::new(&with_users([subject.clone()]), ENVOY);
    let (sent, waiting) = awaits(world.get(&robot));
    assert_eq!(sent.callout.path, "/users/robot");
    let edits = forwarded(world.complete(sent.id, waiting, &ok(&json!({"sub": "robot"}))));
    assert_eq!(field(&edits, "x-consumer-custom-id").as_deref(), Some("robot"));
    // Also when the claims of the cached token are read again, to mint another identity.
    world.pass(301);
    let (sent, waiting) = awaits(world.get(&robot));
    assert_eq!(sent.callout.path, "/users/robot");
    forwarded(world.complete(sent.id, waiting, &ok(&json!({"sub": "robot"}))));

    let feed = json!({"feed": {"service": "auth", "path": "/revoked"}});
    let entries = json!([{"sub": "robot", "until": START + 600}]);
    let mut world = World::new(&local([subject, ("/revocation", feed)]), ENVOY);
    world.tick(&ok(&json!({"cursor": "1", "entries": entries})));
    assert_eq!(world.denied(&robot), denial(401, "token_revoked"));
}

fn tenants() -> Value {
    local([
        ("/providers/shop/issuer", json!("https://login.example/{tid}/v2.0")),
        ("/providers/shop/required_claims", json!({"tid": ["acme", "umbrella"]})),
    ])
}

#[test]
fn an_issuer_for_each_tenant() {
    let issued = |tenant: &str| format!("https://login.example/{tenant}/v2.0");
    for tenant in ["acme", "umbrella"] {
        let claims = json!({"iss": issued(tenant), "tid": tenant});
        assert_eq!(identity_of(&tenants(), claims)["sub"], "alice");
    }
    for (case, changes, code) in [
        ("another tenant", json!({"iss": issued("evil"), "tid": "evil"}), "claim_mismatch"),
        (
            "a tenant in another's name",
            json!({"iss": issued("acme"), "tid": "umbrella"}),
            "issuer_unknown",
        ),
        ("no tenant", json!({"iss": issued("acme")}), "issuer_unknown"),
        (
            "no issuer of theirs",
            json!({"iss": "https://login.example/", "tid": "acme"}),
            "issuer_unknown",
        ),
    ] {
        let mut world = World::new(&tenants(), ENVOY);
        assert_eq!(world.denied(&token(changes)), denial(401, code), "{case}");
    }
}

/// Tenants share a key set, in which a key may be for one of them.
#[test]
fn a_key_of_one_tenant_signs_for_no_other() {
    let issued = |tenant: &str| format!("https://login.example/{tenant}/v2.0");
    for (case, named, tenant, passes) in [
        ("its own", issued("acme"), "acme", true),
        ("another's", issued("acme"), "umbrella", false),
        ("everybody's", issued("{tenantid}"), "umbrella", true),
        ("a stranger's", "https://login.evil/acme/v2.0".to_owned(), "acme", false),
    ] {
        let mut config = tenants();
        put(&mut config, "/providers/shop/local_jwks/keys/0/issuer", json!(named));
        let claims = json!({"iss": issued(tenant), "tid": tenant});
        if passes {
            assert_eq!(identity_of(&config, claims)["sub"], "alice", "{case}");
            continue;
        }
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&token(claims));
        assert_eq!(denied(step), denial(401, "key_unknown"), "{case}");
        let log = logged(&mut world.gateway);
        assert!(log.contains("is not the token's iss"), "{case}: {log}");
    }
    // One issuer has its set for itself.
    let one = local([("/providers/shop/local_jwks/keys/0/issuer", json!("https://other.example"))]);
    assert_eq!(identity_of(&one, json!({}))["sub"], "alice");
}

/// The document of Entra's `organizations` names all tenants by a word of its own.
#[test]
fn the_discovery_document_of_all_tenants() {
    for (issuer, is_accepted) in [
        ("https://login.example/{tenantid}/v2.0", true),
        ("https://login.example/acme/v2.0", true),
        ("https://login.evil/{tenantid}/v2.0", false),
    ] {
        let mut config = tenants();
        put(&mut config, "/providers/shop/local_jwks", Value::Null);
        put(&mut config, "/providers/shop/discovery", json!({"service": "auth"}));
        let mut world = World::new(&config, ENVOY);
        let acme = token(json!({"iss": "https://login.example/acme/v2.0", "tid": "acme"}));
        let step = world.get(&acme);
        let document = json!({"issuer": issuer, "jwks_uri": "https://login.example/keys"});
        let step = world.answer(step, &ok(&document));
        if is_accepted {
            forwarded(world.answer(step, &jwks(&[KEY_A.jwk("a")])));
        } else {
            assert_eq!(denied(step), denial(503, "keys_unavailable"));
            let log = logged(&mut world.gateway);
            assert!(log.contains("https://login.evil/{tenantid}/v2.0"), "{log}");
        }
    }
}

#[test]
fn clients_under_other_names() {
    let names = ("/consumers", json!({"client_id_claims": ["azp", "client_id", "cid", "appid"]}));
    for (case, changes, client) in [
        ("azp", json!({"cid": "other"}), json!("web")),
        ("cid", json!({"azp": null, "cid": "okta"}), json!("okta")),
        ("appid", json!({"azp": null, "appid": "entra"}), json!("entra")),
        ("an empty one", json!({"azp": "", "appid": "entra"}), json!("entra")),
        ("none", json!({"azp": null}), Value::Null),
    ] {
        assert_eq!(identity_of(&local([names.clone()]), changes)["client_id"], client, "{case}");
    }
    let changes = json!({"azp": null, "cid": "okta"});
    assert_eq!(identity_of(&local([]), changes)["client_id"], Value::Null, "unless said");

    let feed = json!({"feed": {"service": "auth", "path": "/revoked"}});
    let mut world = World::new(&local([names, ("/revocation", feed)]), ENVOY);
    let entries = json!([{"client_id": "okta", "until": START + 600}]);
    world.tick(&ok(&json!({"cursor": "1", "entries": entries})));
    let okta = token(json!({"azp": null, "cid": "okta"}));
    assert_eq!(world.denied(&okta), denial(401, "token_revoked"));
}

#[test]
fn groups_that_the_token_says() {
    let consumers = json!({
        "groups_claims": ["groups", "realm_access.roles"],
        "entries": [{"key": "web", "username": "web-app", "groups": ["first-party"]}],
        "optional": true,
    });
    let staff = json!([{"match": {"path": "/api"}, "requires": {"groups_any": ["staff"]}}]);
    let config = local([("/consumers", consumers), ("/rules", staff.clone())]);
    for (case, changes, groups) in [
        ("a list", json!({"groups": ["staff", "on call"]}), "first-party,staff,on call"),
        ("csv", json!({"groups": "qa,staff"}), "first-party,qa,staff"),
        ("words", json!({"groups": "qa  staff, x"}), "first-party,qa,staff,x"),
        (
            "objects",
            json!({"groups": [{"name": "staff", "id": 7}, {"id": 8}, 9]}),
            "first-party,staff",
        ),
        ("one object", json!({"groups": {"name": "staff"}}), "first-party,staff"),
        ("roles", json!({"realm_access": {"roles": ["staff"]}}), "first-party,staff"),
        (
            "both, each once",
            json!({"groups": ["a", "first-party"], "realm_access": {"roles": ["staff", "a"]}}),
            "first-party,a,staff",
        ),
        ("nobody's", json!({"azp": "other", "groups": "staff"}), "staff"),
    ] {
        let mut world = World::new(&config, ENVOY);
        let edits = world.forwarded(&token(changes));
        assert_eq!(field(&edits, "x-consumer-groups").as_deref(), Some(groups), "{case}");
        let claims: Vec<_> = groups.split(',').collect();
        assert_eq!(world.identity(&edits)["groups"], json!(claims), "{case}");
    }
    for (case, changes) in [
        ("none", json!({})),
        ("part of a word", json!({"groups": "staff-no"})),
        ("a name with a space in a list", json!({"groups": ["staff member"]})),
        ("another claim", json!({"roles": ["staff"]})),
    ] {
        let mut world = World::new(&config, ENVOY);
        assert_eq!(world.denied(&token(changes)), denial(403, "group_forbidden"), "{case}");
    }
    let mut unsaid = World::new(&local([("/rules", staff)]), ENVOY);
    let token = token(json!({"groups": ["staff"]}));
    assert_eq!(unsaid.denied(&token), denial(403, "group_forbidden"), "unless said");
}

fn lenient() -> Value {
    local([
        ("/consumers", json!({"anonymous": "guest"})),
        (
            "/rules",
            json!([{"match": {"path": "/api"}, "requires": {
                "allow_missing": true, "invalid_as_missing": true, "scopes_all": ["read"],
            }}]),
        ),
    ])
}

#[test]
fn a_token_that_cannot_be_used_counts_as_none() {
    let forged = KEY_B.token("a", &claims(json!({"scope": "read"})));
    for (case, token) in [
        ("no token at all", "x".to_owned()),
        ("ended", token(json!({"exp": START - 3600, "scope": "read"}))),
        ("of another issuer", token(json!({"iss": "https://other.example"}))),
        ("forged", forged),
        ("for another audience", token(json!({"aud": "x"}))),
    ] {
        let mut world = World::new(&lenient(), ENVOY);
        let head = bearer(&token);
        let edits = forwarded(world.begin(head.clone()));
        assert_eq!(field(&edits, "x-anonymous-consumer").as_deref(), Some("true"), "{case}");
        assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some("guest"), "{case}");
        let fields = upstream(ENVOY, &head, &edits);
        assert!(!fields.iter().any(|(name, _)| name == "authorization"), "{case}: {fields:?}");
        assert!(field(&edits, "x-identity-token").is_none(), "{case}");
    }
    let mut world = World::new(&lenient(), ENVOY);
    let edits = world.forwarded(&token(json!({"scope": "read"})));
    assert_eq!(world.identity(&edits)["sub"], "alice", "a good one counts");
    assert_eq!(world.denied(&alice()), denial(403, "insufficient_scope"), "and all it lacks");
    let two = head(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
    assert_eq!(denied(world.begin(two)), denial(400, "token_multiple"));
}

/// What cannot be decided is not decided in favour of anybody.
#[test]
fn a_service_that_fails_makes_no_token_missing() {
    let mut config = lenient();
    put(&mut config, "/providers/shop/local_jwks", Value::Null);
    put(&mut config, "/providers/shop/remote_jwks", json!({"service": "auth", "path": "/k"}));
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&alice());
    assert_eq!(denied(world.answer(step, &failed())), denial(503, "keys_unavailable"));
}

fn asking(changes: Value) -> Value {
    let mut endpoint = json!({"service": "auth", "path": "/ask", "client_id": "gate",
        "client_secret": "s3cret", "jwts": true});
    endpoint.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    local([("/providers/shop/introspection", endpoint)])
}

fn without_keys() -> Value {
    let mut config = asking(json!({}));
    put(&mut config, "/providers/shop/local_jwks", Value::Null);
    config
}

fn active(changes: Value) -> CalloutReply {
    let mut claims = claims(changes);
    claims["active"] = true.into();
    ok(&claims)
}

#[test]
fn an_issuer_without_keys_is_asked_about_jwts() {
    let unsigned = KEY_B.token("z", &claims(json!({"sub": "mallory"})));
    for (case, token) in [
        ("a JWT", unsigned),
        ("one without an issuer", KEY_B.token("z", &json!({"x": 1}))),
        ("no JWT, of three parts", "v2.local.abc".to_owned()),
        ("a reference", "reference".to_owned()),
    ] {
        let mut world = World::new(&without_keys(), ENVOY);
        let step = world.get(&token);
        let edits = forwarded(world.answer(step, &active(json!({}))));
        assert_eq!(world.identity(&edits)["sub"], "alice", "{case}: what the issuer says counts");
        world.forwarded(&token);
        let mut world = World::new(&without_keys(), ENVOY);
        let step = world.get(&token);
        let denied = denied(world.answer(step, &ok(&json!({"active": false}))));
        assert_eq!(denied, denial(401, "token_inactive"), "{case}");
    }
    for (case, token, code) in [
        ("another issuer's", token(json!({"iss": "https://other.example"})), "issuer_unknown"),
        (
            "an identity token",
            KEY_A.sign(
                br#"{"alg":"EdDSA","typ":"identity+jwt"}"#,
                claims(json!({})).to_string().as_bytes(),
            ),
            "token_type_mismatch",
        ),
        (
            "with an extension",
            KEY_A.sign(
                br#"{"alg":"EdDSA","crit":["x"],"x":1}"#,
                claims(json!({})).to_string().as_bytes(),
            ),
            "critical_header",
        ),
    ] {
        let mut world = World::new(&without_keys(), ENVOY);
        assert_eq!(world.denied(&token), denial(401, code), "{case}");
    }
}

#[test]
fn an_issuer_with_keys_is_asked_about_what_they_signed() {
    let forged = KEY_B.token("a", &claims(json!({})));
    let ended = token(json!({"exp": START - 3600}));
    for (case, token, code) in [
        ("forged", forged, "signature_invalid"),
        ("ended", ended, "token_expired"),
        ("of three parts", "v2.local.abc".to_owned(), "token_malformed"),
    ] {
        let mut world = World::new(&asking(json!({})), ENVOY);
        assert_eq!(world.denied(&token), denial(401, code), "{case}: nobody is asked");
    }
    // As Keycloak's lightweight tokens: the issuer says the rest.
    let light = json!({"sub": null, "aud": null, "azp": null});
    let light = KEY_A.token("a", &claims(light));
    let mut world = World::new(&asking(json!({})), ENVOY);
    let step = world.get(&light);
    let edits = forwarded(world.answer(step, &active(json!({"scope": "read"}))));
    assert_eq!(world.identity(&edits)["scope"], "read");
    world.forwarded(&light);
    // One that says no more than that it is active.
    let mut world = World::new(&asking(json!({})), ENVOY);
    let step = world.get(&alice());
    let edits = forwarded(world.answer(step, &ok(&json!({"active": true}))));
    assert_eq!(world.identity(&edits)["client_id"], "web");
    for (case, answer, expected) in [
        ("over", ok(&json!({"active": false})), denial(401, "token_inactive")),
        ("about another", active(json!({"sub": "bob"})), denial(401, "claim_mismatch")),
        ("of another issuer", active(json!({"iss": "https://x"})), denial(401, "issuer_unknown")),
        ("no answer", failed(), denial(503, "introspection_unavailable")),
    ] {
        let mut world = World::new(&asking(json!({})), ENVOY);
        let step = world.get(&alice());
        assert_eq!(denied(world.answer(step, &answer)), expected, "{case}");
    }
}

/// A reply about another token, tenant or session is not about this one; and none makes
/// it younger, which would spare it from a logout, or lets it live longer.
#[test]
fn a_reply_about_a_jwt_is_held_to_what_is_signed() {
    let own = json!({"jti": "t1", "sid": "s1", "iat": START - 60, "exp": START + 100});
    for (name, value) in [("jti", "t2"), ("sid", "s2"), ("sub", "bob")] {
        let mut world = World::new(&asking(json!({})), ENVOY);
        let step = world.get(&token(own.clone()));
        let denied = denied(world.answer(step, &active(json!({(name): value}))));
        assert_eq!(denied, denial(401, "claim_mismatch"), "{name}");
    }
    let mut tenants = asking(json!({}));
    put(&mut tenants, "/providers/shop/issuer", json!("https://{tid}.auth.example"));
    put(&mut tenants, "/providers/shop/required_claims", json!({"tid": ["a", "b"]}));
    let (own_tenant, other) = (
        json!({"iss": "https://a.auth.example", "tid": "a"}),
        json!({"iss": "https://b.auth.example", "tid": "b"}),
    );
    let mut world = World::new(&tenants, ENVOY);
    let step = world.get(&token(own_tenant.clone()));
    forwarded(world.answer(step, &active(own_tenant.clone())));
    let mut world = World::new(&tenants, ENVOY);
    let step = world.get(&token(own_tenant));
    assert_eq!(denied(world.answer(step, &active(other))), denial(401, "issuer_unknown"));

    let mut config = asking(json!({"cache": {"ttl_seconds": 600}}));
    put(&mut config, "/providers/shop/clock_skew_seconds", json!(0));
    let endpoint = json!({"path": "/revoke", "requires": {"claims": {"sub": ["operator"]}}});
    put(&mut config, "/revocation", json!({ "endpoint": endpoint }));
    for (case, said) in [
        ("nothing of it", json!({"iat": null, "exp": null})),
        ("later", json!({"iat": START, "exp": START + 3600})),
    ] {
        let mut world = World::new(&config, ENVOY);
        let text = token(own.clone());
        let step = world.get(&text);
        let edits = forwarded(world.answer(step, &active(said.clone())));
        assert_eq!(world.identity(&edits)["exp"], START + 100, "{case}");
        world.pass(99);
        world.forwarded(&text);
        world.pass(1);
        assert_eq!(world.denied(&text), denial(401, "token_expired"), "{case}");

        let mut world = World::new(&config, ENVOY);
        let step = world.get(&text);
        forwarded(world.answer(step, &active(said)));
        let body = json!({"entries": [{"sub": "alice", "issued_before": START - 59}]}).to_string();
        let (length, operator) = (body.len().to_string(), token(json!({"sub": "operator"})));
        let bearer = format!("Bearer {operator}");
        let post = head(&[
            (":method", "POST"),
            (":path", "/revoke"),
            ("authorization", &bearer),
            ("content-length", &length),
        ]);
        let step = world.begin(post);
        let step = world.answer(step, &active(json!({"sub": "operator"})));
        let Step::Receive(submission) = step else { panic!("a body is wanted: {step:?}") };
        let now = world.now();
        assert_eq!(answered(world.gateway.submit(submission, Some(body.into()), now)).status, 204);
        assert_eq!(world.denied(&text), denial(401, "token_revoked"), "{case}");
    }
}

#[test]
fn jwts_are_not_asked_about_unless_said() {
    let mut world = World::new(&asking(json!({"jwts": false})), ENVOY);
    world.forwarded(&alice());
}

fn jwt_reply(text: &str) -> CalloutReply {
    let fields = [("content-type", "Application/JWT; charset=utf-8")].into_iter().collect();
    CalloutReply::Answer(Answer { status: 200, cache_control: None, fields, body: text.into() })
}

#[test]
fn user_info_may_be_signed() {
    let said = |changes: Value| {
        let mut claims = json!({"sub": "alice", "iss": "https://auth.example", "aud": "web",
            "address": {"country": "ES"}});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let signed = |changes: Value| KEY_A.token("a", &said(changes));
    for (case, reply) in [
        ("signed", jwt_reply(&signed(json!({})))),
        ("a line end behind it", jwt_reply(&(signed(json!({})) + "\n"))),
        ("for a while", jwt_reply(&signed(json!({"exp": START + 60})))),
        ("without an issuer", jwt_reply(&signed(json!({"iss": null})))),
        ("not signed, as JSON", ok(&said(json!({})))),
    ] {
        let mut world = World::new(&with_users([]), ENVOY);
        let step = world.get(&alice());
        let edits = forwarded(world.answer(step, &reply));
        assert_eq!(world.identity(&edits)["country"], "ES", "{case}");
    }
    let unsigned = KEY_B.token("a", &said(json!({})));
    let unsecured = KEY_A.sign(br#"{"alg":"none"}"#, said(json!({})).to_string().as_bytes());
    for (case, text) in [
        ("by another key", unsigned),
        ("by none", unsecured),
        ("of another issuer", signed(json!({"iss": "https://other.example"}))),
        ("over", signed(json!({"exp": START - 3600}))),
        ("about another user", signed(json!({"sub": "bob"}))),
        ("an event", signed(json!({"events": {}}))),
        ("JSON", said(json!({})).to_string()),
        ("nothing", String::new()),
    ] {
        let mut world = World::new(&with_users([]), ENVOY);
        let step = world.get(&alice());
        let denied = denied(world.answer(step, &jwt_reply(&text)));
        assert_eq!(denied, denial(503, "user_info_unavailable"), "{case}");
    }
}
