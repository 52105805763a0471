//! Which public tokens are accepted, claim by claim.

use gatepass::keys::AlgorithmSet;
use gatepass::time::Span;
use gatepass::token::{
    ClaimPath, Found, Issuance, Issuer, Methods, Provider, Rejection, Untrusted,
};
use serde_json::{Value, json};

use crate::support::*;

/// The code with which a token is denied; `None` when it is accepted.
fn verdict(config: &Value, token: &str) -> Option<String> {
    code_at(config, token, START * 1000)
}

fn code_at(config: &Value, token: &str, millis: i64) -> Option<String> {
    let mut world = World::new(config, ENVOY);
    world.millis = millis;
    match world.get(token) {
        gatepass::pipeline::Step::Done(gatepass::verdict::Verdict::Forward(_), _) => None,
        step => {
            let (status, code) = denied(step);
            assert_eq!(status, 401, "{code}");
            Some(code)
        }
    }
}

const OK: Option<&str> = None;
const MALFORMED: Option<&str> = Some("token_malformed");
const MISSING: Option<&str> = Some("claim_missing");
const MISMATCH: Option<&str> = Some("claim_mismatch");
const AUDIENCE: Option<&str> = Some("audience_mismatch");
const ISSUER: Option<&str> = Some("issuer_unknown");

// RFC 8725 section 3.8: "the application MUST validate that the cryptographic keys used
// for the cryptographic operations in the JWT belong to the issuer" (R21)
// RFC 8725 section 3.9: "if the audience value is not present or not associated with
// the recipient, it MUST reject the JWT" (R22)
// RFC 7519 section 4.1.2: "The subject value MUST either be scoped to be locally unique
// in the context of the issuer or be globally unique." (R29)
// RFC 7519 section 7.3 (R33)
// RFC 7800 section 3 (R34)
#[test]
fn claims_of_every_kind() {
    let config = local([]);
    for (case, claim, value, expected) in [
        ("issuer, none", "iss", Value::Null, MISSING),
        ("issuer, another", "iss", json!("https://evil.example"), ISSUER),
        ("issuer, a slash more", "iss", json!("https://auth.example/"), ISSUER),
        ("issuer, another case", "iss", json!("https://AUTH.example"), ISSUER),
        ("issuer, a prefix", "iss", json!("https://auth.exampl"), ISSUER),
        ("issuer, empty", "iss", json!(""), ISSUER),
        ("issuer, a list", "iss", json!(["https://auth.example"]), MALFORMED),
        ("issuer, a number", "iss", json!(1), MALFORMED),
        ("audience, none", "aud", Value::Null, MISSING),
        ("audience, the other", "aud", json!("shop-web"), OK),
        ("audience, unknown", "aud", json!("other"), AUDIENCE),
        ("audience, a prefix", "aud", json!("shop-ap"), AUDIENCE),
        ("audience, another case", "aud", json!("Shop-API"), AUDIENCE),
        ("audience, empty", "aud", json!(""), AUDIENCE),
        ("audience, a list", "aud", json!(["x", "shop-api"]), OK),
        ("audience, a list of others", "aud", json!(["x", "y"]), AUDIENCE),
        ("audience, an empty list", "aud", json!([]), AUDIENCE),
        ("audience, a mixed list", "aud", json!(["shop-api", 1]), MALFORMED),
        ("audience, a list with null", "aud", json!(["shop-api", null]), MALFORMED),
        ("audience, a nested list", "aud", json!([["shop-api"]]), MALFORMED),
        ("audience, an object", "aud", json!({"shop-api": true}), MALFORMED),
        ("audience, a number", "aud", json!(1), MALFORMED),
        ("subject, none", "sub", Value::Null, MISSING),
        ("subject, empty", "sub", json!(""), MISSING),
        ("subject, a number", "sub", json!(7), MALFORMED),
        ("subject, a list", "sub", json!(["alice"]), MALFORMED),
        ("subject, the longest", "sub", json!("a".repeat(512)), OK),
        ("subject, too long", "sub", json!("a".repeat(513)), MALFORMED),
        ("id, a number", "jti", json!(7), MALFORMED),
        ("session, a list", "sid", json!(["s1"]), MALFORMED),
        ("id, a text", "jti", json!("7"), OK),
        ("expiration, none", "exp", Value::Null, MISSING),
        ("expiration, text", "exp", json!((START + 60).to_string()), MALFORMED),
        ("expiration, a boolean", "exp", json!(true), MALFORMED),
        ("expiration, a list", "exp", json!([START + 60]), MALFORMED),
        ("expiration, far", "exp", json!(9_007_199_254_740_992_i64), OK),
        ("expiration, too far", "exp", json!(1e300), MALFORMED),
        ("expiration, zero", "exp", json!(0), Some("token_expired")),
        ("expiration, negative", "exp", json!(-1), Some("token_expired")),
        ("not before, text", "nbf", json!("0"), MALFORMED),
        ("not before, long ago", "nbf", json!(0), OK),
        ("not before, the earliest", "nbf", json!(-8_334_601_228_800_i64), OK),
        ("not before, too early", "nbf", json!(-1e300), MALFORMED),
        ("issued, none", "iat", Value::Null, OK),
        ("issued, text", "iat", json!("0"), MALFORMED),
        ("issued, negative", "iat", json!(-1), MALFORMED),
        ("issued, 1970", "iat", json!(0), OK),
        ("bound to a key", "cnf", json!({"jkt": "x"}), Some("binding_mismatch")),
        ("bound, oddly", "cnf", json!(false), Some("binding_mismatch")),
    ] {
        let got = verdict(&config, &token(json!({ claim: value })));
        assert_eq!(got.as_deref(), expected, "{case}");
    }
}

/// A claim that is `null` is absent.
#[test]
fn null_is_absent() {
    for (claim, expected) in [
        ("iss", MISSING),
        ("aud", MISSING),
        ("sub", MISSING),
        ("exp", MISSING),
        ("nbf", OK),
        ("iat", OK),
        ("jti", OK),
        ("cnf", OK),
    ] {
        let mut claims = claims(json!({}));
        claims[claim] = Value::Null;
        let got = verdict(&local([]), &KEY_A.token("a", &claims));
        assert_eq!(got.as_deref(), expected, "{claim}");
    }
}

// RFC 7519 section 4.1.4: "identifies the expiration time on or after which the JWT
// MUST NOT be accepted for processing" (R23)
// RFC 7519 section 4.1.5: "identifies the time before which the JWT MUST NOT be
// accepted for processing" (R24)
// RFC 7519 section 4.1.6: "identifies the time at which the JWT was issued" (R25)
#[test]
fn times_to_the_millisecond() {
    let skew_none = local([("/providers/shop/clock_skew_seconds", 0.into())]);
    let skew_60 = local([]);
    let end = json!({"exp": START + 10});
    let fraction = json!({"exp": START as f64 + 10.5});
    let start = json!({"nbf": START + 100});
    let issued = json!({"iat": START + 100});
    let at = START * 1000;
    for (case, config, changes, millis, expected) in [
        ("before the end", &skew_none, &end, at + 9_999, None),
        ("at the end", &skew_none, &end, at + 10_000, Some("token_expired")),
        ("the second before a fraction", &skew_none, &fraction, at + 9_999, None),
        // What is minted ends in whole seconds, so it would be over.
        ("before a fraction", &skew_none, &fraction, at + 10_499, Some("token_expired")),
        ("at a fraction", &skew_none, &fraction, at + 10_500, Some("token_expired")),
        ("before the end, skewed", &skew_60, &end, at + 9_999, None),
        // The skew lets the token in, but nothing is minted from it.
        ("at the end, skewed", &skew_60, &end, at + 10_000, Some("token_expired")),
        ("before the start", &skew_none, &start, at + 99_999, Some("token_not_yet_valid")),
        ("at the start", &skew_none, &start, at + 100_000, None),
        ("before the start, skewed", &skew_60, &start, at + 39_999, Some("token_not_yet_valid")),
        ("at the start, skewed", &skew_60, &start, at + 40_000, None),
        ("before it was issued", &skew_none, &issued, at + 99_999, Some("token_not_yet_valid")),
        ("when it was issued", &skew_none, &issued, at + 100_000, None),
        ("issued, skewed", &skew_60, &issued, at + 40_000, None),
        ("issued, more than skewed", &skew_60, &issued, at + 39_999, Some("token_not_yet_valid")),
    ] {
        let got = code_at(config, &token(changes.clone()), millis);
        assert_eq!(got.as_deref(), expected, "{case}");
    }
}

/// A cached token ends at the same millisecond as one never seen.
#[test]
fn a_known_token_ends_like_a_new_one() {
    for (case, millis, expected) in [
        ("before", START * 1000 + 9_999, None),
        ("at the end", START * 1000 + 10_000, Some(denial(401, "token_expired"))),
    ] {
        let mut world = World::new(&local([]), ENVOY);
        let token = token(json!({"exp": START + 10}));
        world.forwarded(&token);
        world.millis = millis;
        let step = world.get(&token);
        match expected {
            None => drop(forwarded(step)),
            Some(expected) => assert_eq!(denied(step), expected, "{case}"),
        }
    }
}

// RFC 6750 section 5.2: "the lifetime of the token MUST be limited" (R28)
#[test]
fn lifetimes() {
    let config = local([("/providers/shop/max_lifetime_seconds", 3600.into())]);
    let exceeded = Some("lifetime_exceeded");
    for (case, changes, expected) in [
        ("the longest", json!({}), None),
        ("a second more", json!({"exp": START + 3601}), exceeded),
        ("a millisecond more", json!({"exp": START as f64 + 3600.001}), exceeded),
        ("issued long ago", json!({"iat": START - 3600}), exceeded),
        ("no issue time, the longest", json!({"iat": null}), None),
        ("no issue time, a second more", json!({"iat": null, "exp": START + 3601}), exceeded),
    ] {
        assert_eq!(verdict(&config, &token(changes)).as_deref(), expected, "{case}");
    }
    let mut endless = config;
    put(&mut endless, "/providers/shop/require_expiration", false.into());
    let got = verdict(&endless, &token(json!({"exp": null})));
    assert_eq!(got.as_deref(), exceeded, "no end at all");
}

#[test]
fn what_a_provider_may_waive() {
    for (case, edits, changes) in [
        (
            "any audience",
            vec![("/allow_any_audience", json!(true)), ("/audiences", Value::Null)],
            json!({"aud": null}),
        ),
        ("no expiration", vec![("/require_expiration", json!(false))], json!({"exp": null})),
        ("bound tokens", vec![("/accept_unbound", json!(true))], json!({"cnf": {"jkt": "x"}})),
    ] {
        let token = token(changes);
        assert!(verdict(&local([]), &token).is_some(), "{case}: refused by default");
        let mut config = local([]);
        for (pointer, value) in edits {
            put(&mut config, &format!("/providers/shop{pointer}"), value);
        }
        assert_eq!(verdict(&config, &token), None, "{case}");
    }
}

#[test]
fn required_claims() {
    let config = local([(
        "/providers/shop/required_claims",
        json!({"tenant": ["acme", 7], "realm.roles": ["admin"], "present": []}),
    )]);
    let good = json!({"tenant": "acme", "realm": {"roles": ["x", "admin"]}, "present": 0});
    let with = |claim: &str, value: Value| {
        let mut changes = good.clone();
        changes[claim] = value;
        changes
    };
    for (case, changes, expected) in [
        ("all", good.clone(), OK),
        ("a number", with("tenant", json!(7)), OK),
        ("by its whole name", with("realm.roles", json!("admin")), OK),
        ("another value", with("tenant", json!("umbrella")), MISMATCH),
        ("a number as text", with("tenant", json!("7")), MISMATCH),
        ("true", with("tenant", json!(true)), MISMATCH),
        ("missing", with("tenant", Value::Null), MISSING),
        ("missing inside", with("realm", json!({})), MISSING),
        ("no object", with("realm", json!("admin")), MISSING),
        ("none accepted", with("realm", json!({"roles": ["y"]})), MISMATCH),
        ("empty list", with("realm", json!({"roles": []})), MISMATCH),
        ("only present: missing", with("present", Value::Null), MISSING),
    ] {
        assert_eq!(verdict(&config, &token(changes)).as_deref(), expected, "{case}");
    }
}

// RFC 8725 section 3.11: "Explicit JWT typing is accomplished by using the "typ" Header
// Parameter." (R30)
#[test]
fn headers_of_tokens() {
    let algorithm = Some("algorithm_not_allowed");
    let typ = Some("token_type_mismatch");
    let critical = Some("critical_header");
    let base = json!({"alg": "EdDSA", "kid": "a"});
    for (case, changes, expected) in [
        ("as little as possible", json!({}), OK),
        ("no key id", json!({"kid": null}), OK),
        ("JWT", json!({"typ": "JWT"}), OK),
        ("at+jwt", json!({"typ": "at+jwt"}), OK),
        ("a media type, any case", json!({"typ": "Application/AT+JWT"}), OK),
        ("a logout token", json!({"typ": "logout+jwt"}), typ),
        ("a security event", json!({"typ": "secevent+jwt"}), typ),
        ("an identity token", json!({"typ": "identity+jwt"}), typ),
        ("an identity token, any case", json!({"typ": "application/Identity+JWT"}), typ),
        ("a transaction token", json!({"typ": "txntoken+jwt"}), typ),
        ("an empty type", json!({"typ": ""}), typ),
        ("a number as type", json!({"typ": 1}), MALFORMED),
        ("none", json!({"alg": "none"}), algorithm),
        ("None", json!({"alg": "None"}), algorithm),
        ("another algorithm", json!({"alg": "ES256"}), Some("key_unknown")),
        ("a symmetric algorithm", json!({"alg": "HS256"}), algorithm),
        ("another case", json!({"alg": "eddsa"}), algorithm),
        ("no algorithm", json!({"alg": null}), MALFORMED),
        ("a list of algorithms", json!({"alg": ["EdDSA"]}), MALFORMED),
        ("another key", json!({"kid": "b"}), Some("key_unknown")),
        ("a key id in another case", json!({"kid": "A"}), Some("key_unknown")),
        ("a number as key id", json!({"kid": 1}), MALFORMED),
        ("a key id too long", json!({"kid": "k".repeat(257)}), MALFORMED),
        ("critical", json!({"crit": ["exp"]}), critical),
        ("critical, empty", json!({"crit": []}), critical),
        ("unencoded", json!({"b64": false}), critical),
        ("encoded, but said so", json!({"b64": true}), critical),
        ("nested", json!({"cty": "JWT"}), MALFORMED),
        ("compressed", json!({"zip": "DEF"}), MALFORMED),
        ("a key of its own is not looked at", json!({"jwk": KEY_B.jwk("a")}), OK),
        ("nor a place to fetch one", json!({"jku": "https://evil.example"}), OK),
    ] {
        let mut header = base.clone();
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let payload = claims(json!({})).to_string();
        let token = KEY_A.sign(header.to_string().as_bytes(), payload.as_bytes());
        assert_eq!(verdict(&local([]), &token).as_deref(), expected, "{case}");
    }
}

/// A logout token may have the header of an access token, and its audience is a
/// client, as that of an ID token is.
#[test]
fn a_token_about_an_event_is_no_public_token() {
    let logout = "http://schemas.openid.net/event/backchannel-logout";
    let revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    for events in [json!({logout: {}}), json!({revoked: {}}), json!({}), json!([]), json!("x")] {
        let token = token(json!({ "events": events }));
        assert_eq!(verdict(&local([]), &token).as_deref(), Some("token_type_mismatch"), "{events}");
    }
    let mut null = claims(json!({}));
    null["events"] = Value::Null;
    assert_eq!(verdict(&local([]), &KEY_A.token("a", &null)).as_deref(), OK, "null is absent");
}

#[test]
fn token_types_that_are_configured() {
    let config = local([("/providers/shop/token_types", json!(["at+jwt", "application/X+jwt"]))]);
    for (typ, accepted) in [
        (Some("at+jwt"), true),
        (Some("application/AT+jwt"), true),
        (Some("x+JWT"), true),
        (Some("JWT"), false),
        (Some("identity+jwt"), false),
        (None, false),
    ] {
        let mut header = json!({"alg": "EdDSA"});
        if let Some(typ) = typ {
            header["typ"] = typ.into();
        }
        let payload = claims(json!({})).to_string();
        let token = KEY_A.sign(header.to_string().as_bytes(), payload.as_bytes());
        assert_eq!(verdict(&config, &token).is_none(), accepted, "{typ:?}");
    }
    let config = local([("/providers/shop/token_types", json!(["JOSE", "none"]))]);
    for (header, accepted) in [
        (json!({"alg": "EdDSA"}), true),
        (json!({"alg": "EdDSA", "typ": "JOSE"}), true),
        (json!({"alg": "EdDSA", "typ": "none"}), false),
        (json!({"alg": "EdDSA", "typ": "JWT"}), false),
    ] {
        let payload = claims(json!({})).to_string();
        let token = KEY_A.sign(header.to_string().as_bytes(), payload.as_bytes());
        assert_eq!(verdict(&config, &token).is_none(), accepted, "{header}");
    }
}

#[test]
fn signatures() {
    let signature = Some("signature_invalid");
    let wrong = KEY_B.token("a", &claims(json!({})));
    assert_eq!(verdict(&local([]), &wrong).as_deref(), signature, "another key's");

    let (input, _) = wrong.rsplit_once('.').unwrap();
    let (_, good) = {
        let alice = alice();
        let (input, signature) = alice.rsplit_once('.').unwrap();
        (input.to_owned(), signature.to_owned())
    };
    let other = token(json!({"sub": "bob"}));
    let (other, _) = other.rsplit_once('.').unwrap();
    let swapped = format!("{other}.{good}");
    assert_eq!(verdict(&local([]), &swapped).as_deref(), signature, "another token's");
    assert_eq!(verdict(&local([]), &format!("{input}.")).as_deref(), MALFORMED, "none");
}

/// The gateway's own key is no key of the issuer's, whatever the token says.
#[test]
fn an_identity_token_is_no_public_token() {
    let mut world = World::new(&local([]), ENVOY);
    let edits = world.forwarded(&alice());
    let identity = field(&edits, "x-identity-token").unwrap();
    assert_eq!(world.denied(&identity), denial(401, "issuer_unknown"));
}

// RFC 8259 section 9: "An implementation may set limits on the size of texts that it
// accepts." (R53)
#[test]
fn sizes() {
    let config = local([("/limits", json!({"max_token_bytes": 512}))]);
    let length = |padding: usize| token(json!({"pad": "x".repeat(padding)})).len();
    let fits = (0..512).rev().find(|padding| length(*padding) <= 512).unwrap();
    assert_eq!(verdict(&config, &token(json!({"pad": "x".repeat(fits)}))), None);
    let more = token(json!({"pad": "x".repeat(fits + 3)}));
    assert_eq!(verdict(&config, &more).as_deref(), Some("token_too_large"));
}

#[test]
fn two_issuers_do_not_share_keys() {
    let mut config = local([("/identity_token/subject", "{sub}".into())]);
    config["providers"]["other"] = json!({
        "issuer": "https://other.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("a")]},
    });
    let other = json!({"iss": "https://other.example"});
    for (case, key, changes, expected) in [
        ("the first", &KEY_A, json!({}), None),
        ("the second", &KEY_B, other.clone(), None),
        ("the first by the second's key", &KEY_B, json!({}), Some("signature_invalid")),
        ("the second by the first's key", &KEY_A, other, Some("signature_invalid")),
    ] {
        let token = key.token("a", &claims(changes));
        assert_eq!(verdict(&config, &token).as_deref(), expected, "{case}");
    }
}

/// Also where a provider's types came past the configuration, which refuses them.
#[test]
fn the_gateways_types_are_refused_whatever_a_provider_takes() {
    let types = ["identity+jwt", "txntoken+jwt", "logout+jwt", "secevent+jwt"];
    let provider = Provider {
        name: "shop".into(),
        issuance: Issuance::Issuer(Issuer::parse("https://auth.example").unwrap()),
        audiences: None,
        algorithms: AlgorithmSet::asymmetric(),
        clock_skew: Span::from_secs(60),
        require_expiration: true,
        require_not_before: false,
        max_lifetime: None,
        token_types: Some(types.map(|typ| Some(typ.to_owned())).to_vec()),
        required_claims: Vec::new(),
        accept_unbound: false,
        trusted_without_scope: false,
        subject_claims: vec![ClaimPath::dotted("sub")],
        client_claims: std::rc::Rc::default(),
        methods: Methods::default(),
        names_subjects: false,
    };
    for typ in types {
        let header = json!({"alg": "EdDSA", "kid": "a", "typ": typ}).to_string();
        let text = KEY_A.sign(header.as_bytes(), claims(json!({})).to_string().as_bytes());
        let token = Untrusted::parse(text.as_bytes(), text.len()).unwrap();
        assert_eq!(
            provider.check_header(&token),
            Err(Rejection::TypeMismatch(Found::of(Some(typ)))),
            "{typ}"
        );
    }
}
