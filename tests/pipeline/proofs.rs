//! Proofs and certificates: the examples of the RFCs, hostile ones by the thousand, clocks
//! that jump, and how much memory they take.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::binding::{Dpop, Lifetime, Proof, ProofError, ProofOf, PublicOrigin, of_pem};
use gatepass::host::RequestId;
use gatepass::http::RequestHead;
use gatepass::keys::Crypto;
use gatepass::time::{Span, UnixTime};
use serde_json::{Value, json};

use crate::attacks::Asked;
use crate::bound::{
    CERTIFICATE, ask, bound, change, config, dpop, invalid, mismatch, proof, public, request,
    thumbprint,
};
use crate::counted::held;
use crate::support::*;

/// RFC 9449 section 7.1, figures 13 and 14.
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6\
                     Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZF\
                     NGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2\
                     In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM\
                     6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI\
                     2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVF\
                     FbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy\
                     1dqd-jfxSYoMxhAJpLjA";

/// RFC 9449 section 6.1, figure 8.
const KEY: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

// RFC 9449 section 4.3 (R84)
#[test]
fn the_example_of_rfc_9449() {
    let crypto = Crypto::module();
    let key: [u8; 32] = BASE64URL.decode(KEY).unwrap().try_into().unwrap();
    let check = |method: &str, path: &str, token: &[u8], key: &[u8; 32], now: i64| {
        let head = RequestHead::new([
            (":method", method),
            (":scheme", "https"),
            (":authority", "resource.example.org"),
            (":path", path),
            ("dpop", PROOF),
        ]);
        let dpop = Dpop {
            nonces: None,
            max_age: Span::from_secs(60),
            clock_skew: Span::from_secs(5),
            origins: PublicOrigin::parse("https://resource.example.org").into_iter().collect(),
        };
        let of = ProofOf { head: &head, token, key };
        dpop.check(of, &crypto, UnixTime::from_secs(now))
    };
    const AT: i64 = 1_562_262_618;
    let id = "e1j3V_bKic8-LAEB".to_owned();
    let end = UnixTime::from_secs(AT + i64::from(Dpop::LONGEST_AGE));
    let all_until = end.plus(Span::from_secs(Dpop::LONGEST_AGE));
    let good = Proof { id, lifetime: Lifetime { earliest: end, until: end, all_until } };
    let path = "/protectedresource";
    assert_eq!(check("GET", path, TOKEN, &key, AT), Ok(good));
    for (case, found, expected) in [
        ("method", check("POST", path, TOKEN, &key, AT), ProofError::Method),
        ("path", check("GET", "/", TOKEN, &key, AT), ProofError::Target),
        ("token", check("GET", path, b"another", &key, AT), ProofError::Token),
        ("key", check("GET", path, TOKEN, &[0; 32], AT), ProofError::AnotherKey),
        ("late", check("GET", path, TOKEN, &key, AT + 60), ProofError::Time),
        ("early", check("GET", path, TOKEN, &key, AT - 6), ProofError::Time),
    ] {
        assert_eq!(found, Err(expected), "{case}");
    }
}

/// Its appendix A.
// RFC 8705 section 3 (R34)
#[test]
fn the_example_of_rfc_8705() {
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx\n\
        ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG\n\
        SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ\n\
        /Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID\n\
        SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV\n\
        bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=\n-----END CERTIFICATE-----\n";
    const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
    assert_eq!(of_pem(CERTIFICATE).map(|it| BASE64URL.encode(it)).as_deref(), Some(THUMBPRINT));
    let binding = json!({"mtls": {"header": "client-cert", "from": ["192.0.2.1"]}});
    let (mut world, _) = crate::bound::with_clients(&config(binding), ENVOY);
    let token = token(json!({"cnf": {"x5t#S256": THUMBPRINT}}));
    let der: String = CERTIFICATE.lines().filter(|line| !line.starts_with('-')).collect();
    let escaped = CERTIFICATE.replace('\n', "%0A").replace(' ', "%20").replace('+', "%2B");
    for value in [format!(":{der}:"), escaped] {
        let fields = [("authorization", format!("Bearer {token}")), ("client-cert", value)];
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        forwarded(world.begin(head(&fields)));
    }
}

/// No change of one character of a good proof leaves it good, and none uses it up.
#[test]
fn every_changed_proof_is_refused() {
    let mut world = World::new(&dpop(), ENVOY);
    let token = bound();
    let good = proof(&token, &json!({}), &json!({}));
    let mut random = Random(9449);
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~\x7f";
    for at in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        let other = letters[random.below(letters.len())];
        if other == bytes[at] {
            continue;
        }
        bytes[at] = other;
        let changed = String::from_utf8(bytes).unwrap();
        let (status, code) = denied(ask(&mut world, &token, &changed));
        let is_known = ["dpop_invalid", "binding_mismatch"].contains(&code.as_str());
        assert!(status == 401 && is_known, "{at}: {status} {code}");
        if at % 16 == 0 {
            let mut bytes = good.clone().into_bytes();
            bytes.truncate(at);
            let cut = String::from_utf8(bytes).unwrap();
            assert_eq!(denied(ask(&mut world, &token, &cut)), invalid(), "cut at {at}");
        }
    }
    forwarded(ask(&mut world, &token, &good));
}

/// Values of every kind at every place, signed: what must be there is not accepted
/// otherwise, and nothing makes the gateway fail.
#[test]
fn proofs_with_values_of_every_kind() {
    let mut world = World::new(&dpop(), ENVOY);
    let token = bound();
    let long = "x".repeat(3000);
    let values = || {
        let texts = ["", " ", "x", "\u{0}", "é", "dpop+jwt ", "DPOP+JWT;a=b", long.as_str()];
        let texts = texts.into_iter().map(|text| json!(text));
        let numbers = ["0", "-1", "1e400", "-1e-400", "1.5", "9223372036854775808"];
        let numbers = numbers.into_iter().map(|text| serde_json::from_str(text).unwrap());
        let others = [json!(null), json!(true), json!([]), json!({}), json!([1]), json!({"a": {}})];
        texts.chain(numbers).chain(others)
    };
    for member in ["typ", "alg", "jwk", "jti", "htm", "htu", "ath", "iat", "crit", "b64"] {
        for (number, value) in values().enumerate() {
            let changes = json!({ member: value });
            let in_header = ["typ", "alg", "jwk", "crit", "b64"].contains(&member);
            let none = json!({});
            let (header, claims) = if in_header { (&changes, &none) } else { (&none, &changes) };
            let step = ask(&mut world, &token, &proof(&token, header, claims));
            // Absent is right for two of them, and any text is an identifier.
            let is_text = value.as_str().is_some_and(|text| !text.is_empty());
            if (value.is_null() && ["crit", "b64"].contains(&member))
                || (member == "jti" && is_text)
            {
                continue;
            }
            // What is no key is not the token's.
            let expected = [invalid(), mismatch()];
            let found = denied(step);
            let is_expected = found == expected[0] || (member == "jwk" && found == expected[1]);
            assert!(is_expected, "{member}, {number}: {found:?}");
        }
    }
    for member in ["kty", "crv", "x", "d", "k", "use", "key_ops", "alg"] {
        for (number, value) in values().enumerate() {
            let is_absent = value.is_null();
            let mut jwk = public(&KEY_B);
            change(&mut jwk, &json!({ member: value }));
            let id = json!({"jti": format!("{member}-{number}")});
            let step = ask(&mut world, &token, &proof(&token, &json!({ "jwk": jwk }), &id));
            // These make it the token's key: with other values it is another one, or none.
            if ["kty", "crv", "x"].contains(&member) {
                let found = denied(step);
                assert!([mismatch(), invalid()].contains(&found), "{member}, {number}: {found:?}");
            } else if is_absent {
                forwarded(step);
            } else {
                // Private members are refused whatever their value (RFC 9449 section 4.3,
                // check 7), and none of the values allows the key to verify EdDSA.
                assert_eq!(denied(step), invalid(), "{member}, {number}");
            }
        }
    }
    // Members twice, in any order, and what is no object.
    let good = proof(&token, &json!({}), &json!({}));
    let parts: Vec<Vec<u8>> =
        good.split('.').take(2).map(|part| BASE64URL.decode(part).unwrap()).collect();
    let twice =
        |part: &[u8], member: &str| [format!("{{{member},").as_bytes(), &part[1..]].concat();
    for (header, claims) in [
        (twice(&parts[0], r#""typ":"dpop+jwt""#), parts[1].clone()),
        (parts[0].clone(), twice(&parts[1], r#""htm":"GET""#)),
        (b"[]".to_vec(), parts[1].clone()),
        (parts[0].clone(), b"null".to_vec()),
        (parts[0].clone(), b"".to_vec()),
        (b"\xff".to_vec(), b"\xff".to_vec()),
    ] {
        let bad = KEY_B.sign(&header, &claims);
        assert_eq!(denied(ask(&mut world, &token, &bad)), invalid());
    }
    let good = proof(&token, &json!({}), &json!({"jti": "at last"}));
    forwarded(ask(&mut world, &token, &good));
}

/// Gateways of one proxy take proofs of other ages, and go by other times: what one has
/// taken the other does not, nor does a gateway that was configured anew.
#[test]
fn a_proof_counts_once_however_old_proofs_may_be() {
    let binding = |age: u32, nonces: Value| {
        config(json!({"dpop": {
            "public_origin": "https://api.example", "max_age_seconds": age, "nonce_keys": nonces,
        }}))
    };
    let keys = || json!(["0123456789abcdef"]);
    let token = bound();
    let nonce_of = |world: &mut World| {
        let reply = answered(ask(world, &token, "x"));
        reply_field(&reply, "dpop-nonce").map(str::to_owned)
    };
    let by_time = || binding(600, Value::Null);
    for (case, first, second, ahead) in [
        ("a short age", binding(60, Value::Null), by_time(), 0),
        ("by nonce", binding(60, keys()), by_time(), 0),
        ("by nonce, with a clock ahead", binding(60, keys()), by_time(), 50),
        ("by nonce, with a clock ten minutes ahead", binding(60, keys()), by_time(), 600),
        ("by nonce there, with a clock behind", by_time(), binding(600, keys()), -59),
    ] {
        let store = Store::default();
        let mut one = World::sharing(&first, ENVOY, &store);
        let mut two = World::sharing(&second, ENVOY, &store);
        let nonce = nonce_of(&mut one).or_else(|| nonce_of(&mut two));
        let said = json!({"iat": START + ahead, "nonce": nonce});
        let used = proof(&token, &json!({}), &said);
        forwarded(ask(&mut one, &token, &used));
        for late in [61, 119, 300, 599 + ahead.max(0)] {
            // Others make room.
            for number in 0..200 {
                one.set_clock(START + late);
                let nonce = nonce_of(&mut one);
                let id = format!("{late}-{number}");
                let other = json!({"jti": id, "iat": START + late, "nonce": nonce});
                forwarded(ask(&mut one, &token, &proof(&token, &json!({}), &other)));
            }
            two.set_clock(START + late);
            assert_eq!(denied(ask(&mut two, &token, &used)), invalid(), "{case}: {late}");
        }
    }
}

/// The key by which proofs are remembered, as the workers share it.
fn key_of(store: &Store) -> Vec<u8> {
    let head = b"used {\"key\":true,\"of\":\"proofs\"}\n";
    let values = store.0.borrow();
    let key = values.values().find_map(|(value, _)| value.strip_prefix(&head[..]));
    key.expect("a key").to_vec()
}

/// What is full drops the oldest proofs before they end. To fill a part of it lets none of
/// them pass again, and later ones are taken.
#[test]
fn a_proof_that_was_dropped_early_stays_used() {
    const ROOM: usize = 1280;
    let keys = json!({"dpop": {"public_origin": "https://api.example", "nonce_keys": ["0123456789abcdef"]}});
    let thumbprint = BASE64URL.decode(thumbprint(&KEY_B)).unwrap();
    let token = bound();
    for (case, config) in [("by iat", dpop()), ("by nonce", self::config(keys))] {
        let store = Store::default();
        let mut world = World::sharing(&config, ENVOY, &store);
        let key = key_of(&store);
        // No client has the key. Computed a million times.
        let mut start = Context::new(&SHA256);
        let add = |context: &mut Context, part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        start.update(&key);
        add(&mut start, &thumbprint);
        let bucket = |id: &str| {
            let mut context = start.clone();
            add(&mut context, id.as_bytes());
            let digest = context.finish();
            let [.., high, low] = *digest.as_ref() else { panic!("32 bytes") };
            u16::from_be_bytes([high, low]) % 1024
        };
        let of_used = bucket("used");
        let nonce_at = |world: &mut World, at: i64| {
            world.set_clock(START + at);
            let reply = answered(ask(world, &token, "x"));
            reply_field(&reply, "dpop-nonce").map(str::to_owned)
        };
        let make = |at: i64, nonce: &Option<String>, id: &str| {
            proof(&token, &json!({}), &json!({"iat": START + at, "jti": id, "nonce": nonce}))
        };
        let used = make(0, &nonce_at(&mut world, 0), "used");
        forwarded(ask(&mut world, &token, &used));
        let nonce = nonce_at(&mut world, 16);
        let ids = (0..).map(|number: u32| number.to_string());
        let mut ids = ids.filter(|id| bucket(id) == of_used);
        for id in ids.by_ref().take(ROOM) {
            let other = request("DPoP", &token, &[&make(16, &nonce, &id)]);
            // Past the world's own list of secrets, which grows.
            let now = world.now();
            forwarded(world.gateway.begin(RequestId::default(), other, now));
        }
        let nonce = nonce_at(&mut world, 32);
        assert_eq!(denied(ask(&mut world, &token, &used)), invalid(), "{case}");
        let fresh = make(32, &nonce, &ids.next().unwrap());
        forwarded(ask(&mut world, &token, &fresh));
        assert_eq!(denied(ask(&mut world, &token, &fresh)), invalid(), "{case}");
    }
}

/// The host evicts what was remembered: nothing that was used passes again.
#[test]
fn proofs_that_the_host_has_lost_stay_used() {
    let store = Store::default();
    let mut world = World::sharing(&dpop(), ENVOY, &store);
    let token = bound();
    let used = proof(&token, &json!({}), &json!({}));
    forwarded(ask(&mut world, &token, &used));
    store.0.borrow_mut().clear();
    for late in [0, 30, 59] {
        world.set_clock(START + late);
        assert_eq!(denied(ask(&mut world, &token, &used)), invalid(), "{late}");
    }
}

/// A clock that goes wrong lets no proof pass twice, and is forgotten when it is right.
#[test]
fn a_clock_that_jumps() {
    let keys = json!({"dpop": {"public_origin": "https://api.example", "nonce_keys": ["0123456789abcdef"]}});
    for (case, config) in [("by iat", dpop()), ("by nonce", self::config(keys))] {
        let store = Store::default();
        let mut world = World::sharing(&config, ENVOY, &store);
        let cnf = json!({"jkt": thumbprint(&KEY_B)});
        let far = json!({"cnf": cnf, "iat": START - 90_000, "exp": START + 400_000});
        let token = token(far);
        let nonce = |world: &mut World| {
            let reply = answered(ask(world, &token, "x"));
            reply_field(&reply, "dpop-nonce").map(str::to_owned)
        };
        let fresh = |world: &mut World, id: &str| {
            let nonce = nonce(world);
            let at = world.now().as_secs();
            proof(&token, &json!({}), &json!({"iat": at, "jti": id, "nonce": nonce}))
        };
        let mut used: Vec<String> = Vec::new();
        for (number, at) in
            [0, 86_400, -3600, 5, 86_399, 10, -10, 86_500, 70].into_iter().enumerate()
        {
            world.set_clock(START + at);
            for old in &used {
                assert_eq!(denied(ask(&mut world, &token, old)), invalid(), "{case}");
            }
            let proof = fresh(&mut world, &format!("{number}"));
            let step = ask(&mut world, &token, &proof);
            // What ended together with forgotten ones is refused for a moment; later ones
            // never are.
            if at >= 0 {
                forwarded(step);
            }
            used.push(proof);
        }
    }
}

/// As many as 100,000 a minute: what is remembered is forgotten when it ends.
#[test]
fn proofs_do_not_pile_up() {
    let mut config = dpop();
    put(&mut config, "/providers/shop/binding/dpop/max_age_seconds", json!(1));
    put(&mut config, "/providers/shop/clock_skew_seconds", json!(0));
    let mut world = World::new(&config, ENVOY);
    let token = bound();
    let header = json!({});
    let mut sizes = Vec::new();
    let mut last = Vec::new();
    for number in 0..6_000_i64 {
        world.millis = START * 1000 + number * 6 / 10;
        let claims = json!({"jti": format!("p{number}"), "iat": world.now().as_secs()});
        let proof = proof(&token, &header, &claims);
        let now = world.now();
        // Past the world's own list of secrets, which grows.
        let step =
            world.gateway.begin(RequestId::default(), request("DPoP", &token, &[&proof]), now);
        forwarded(step);
        world.gateway.take_log();
        world.gateway.take_metrics();
        if number % 300 == 299 {
            sizes.push(held());
            last.push(proof);
        }
    }
    let (half, end) = (sizes[10], sizes[19]);
    let grown = end.saturating_sub(half);
    assert!(grown < half / 20 + 200_000, "grew by {grown}: {sizes:?}");
    let recent = last.last().unwrap();
    let now = world.now();
    let step = world.gateway.begin(RequestId::default(), request("DPoP", &token, &[recent]), now);
    assert_eq!(denied(step), invalid(), "a recent one is known");
}

/// Where nothing is bound no host is asked, and no store is touched.
#[test]
fn what_is_not_configured_costs_nothing() {
    let store = Store::default();
    let asked = Asked::default();
    let mut world = World::asking(&local([]), ENVOY, Box::new(asked.clone()));
    world.gateway.share(Box::new(store.clone()));
    world.forwarded(&alice());
    assert_eq!(asked.0.get(), 0);
    let names: Vec<String> = store.0.borrow().keys().cloned().collect();
    assert!(names.is_empty(), "{names:?}");
    let series = world.gateway.metrics();
    let is_ours = |name: &str| name.starts_with("gatepass_revocation") || name.contains("events");
    assert!(!series.iter().any(|series| is_ours(series.name)), "{series:?}");
    // With a binding configured, the host and the store are used.
    let both = config(json!({"mtls": true, "dpop": {"public_origin": "https://api.example"}}));
    let mut world = World::asking(&both, ENVOY, Box::new(asked.clone()));
    world.gateway.share(Box::new(store.clone()));
    let certificate = json!({"cnf": {"x5t#S256": BASE64URL.encode(CERTIFICATE)}});
    assert_eq!(world.denied(&token(certificate)), mismatch());
    assert!(asked.0.get() > 0);
    let token = bound();
    forwarded(ask(&mut world, &token, &proof(&token, &json!({}), &json!({}))));
    assert!(!store.0.borrow().is_empty());
}
