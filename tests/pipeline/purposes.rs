//! What each service is told: identities by rule and resource, who acts for whom, and
//! the scopes of transaction tokens.

use gatepass::verdict::HeaderEdits;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::*;

const MCP: &str = "https://shop.example/mcp";

fn shop(edits: &[(&str, Value)]) -> Value {
    let mut config = with_users([
        ("/identity_token/claims", json!({"copy": ["azp", "scp"], "set": {"env": "prod"}})),
        (
            "/resources",
            json!([{"resource": MCP, "identity": {
                "header": {"name": "authorization", "value_prefix": "Bearer "},
                "audiences": ["shop-mcp"], "claims": []}}]),
        ),
        (
            "/rules",
            json!([
                {"match": {"path_prefix": "/orders"}, "identity": {
                    "audiences": ["orders"], "scopes": ["orders.write"], "ttl_seconds": 60,
                    "claims": ["country"]}},
                {"match": {"path_prefix": "/mcp/orders"}, "identity": {"scopes": ["orders.write"]}},
                {"match": {"path_prefix": "/legacy"}, "identity": {"forward": true}},
                {"match": {"path_prefix": "/open"}, "bypass": true},
                {"match": {"path_prefix": "/perhaps"}, "requires": {"allow_missing": true}},
                {"match": {"path_prefix": "/planner"},
                    "requires": {"actor": {"client_id": ["planner"], "max_depth": 2}}},
                {"match": {"path_prefix": "/robot"}, "requires": {"actor": {"sub": ["robot"]}}},
                {"match": {"path_prefix": "/short"}, "requires": {"actor": {"max_depth": 1}}},
                {"match": {"path_prefix": "/alone"}, "requires": {"claims": {"act": "absent"}}},
            ]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    config
}

fn request(path: &str, token: &str) -> gatepass::http::RequestHead {
    head(&[(":path", path), ("authorization", &format!("Bearer {token}"))])
}

fn get(world: &mut World, path: &str, token: &str) -> HeaderEdits {
    let mut step = world.begin(request(path, token));
    if let gatepass::pipeline::Step::Wait(..) = step {
        let user = json!({"sub": "alice", "address": {"country": "ES"}, "type": "premium"});
        step = world.answer(step, &ok(&user));
    }
    forwarded(step)
}

/// The claims of a token, as a service reads it that knows only the key set, the issuer
/// and its own name.
fn read_as(world: &mut World, service: &str, text: &str) -> Result<Value, String> {
    let keys = answered(world.begin(head(&[(":path", JWKS_PATH)]))).body;
    let keys: JwkSet = serde_json::from_slice(&keys).unwrap();
    let header = jsonwebtoken::decode_header(text).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("a published key");
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.set_issuer(&["https://gateway.internal"]);
    validation.set_audience(&[service]);
    let key = DecodingKey::from_jwk(key).unwrap();
    let read = jsonwebtoken::decode::<Value>(text, &key, &validation);
    read.map(|it| it.claims).map_err(|error| error.to_string())
}

fn carried(edits: &HeaderEdits, header: &str) -> Option<String> {
    let value = field(edits, header)?;
    Some(value.strip_prefix("Bearer ").map(str::to_owned).unwrap_or(value))
}

/// Three services, a token for each, made of the same public token: one service's is
/// refused by the others.
#[test]
fn each_service_gets_an_identity_of_its_own() {
    let token = token(json!({"aud": ["shop-api", MCP], "scope": "orders.write catalog.read"}));
    let places = [
        ("/api", "x-identity-token", "services", Some("orders.write catalog.read")),
        ("/orders/7", "x-identity-token", "orders", Some("orders.write")),
        ("/mcp", "authorization", "shop-mcp", Some("orders.write catalog.read")),
        ("/mcp/orders", "authorization", "shop-mcp", Some("orders.write")),
    ];
    for host in HOSTS {
        let mut world = World::new(&shop(&[]), host);
        for (path, carrier, service, scope) in places.iter().cycle().take(3 * places.len()) {
            let edits = get(&mut world, path, &token);
            let text = carried(&edits, carrier).expect(path);
            let claims = read_as(&mut world, service, &text).expect(path);
            assert_eq!(claims["aud"], *service, "{path}");
            assert_eq!(claims["scope"].as_str(), *scope, "{path}");
            assert_eq!(claims["sub"], "alice");
            for (_, _, other, _) in places.iter().filter(|(_, _, other, _)| other != service) {
                assert!(read_as(&mut world, other, &text).is_err(), "{path} at {other}");
            }
            let other = ["x-identity-token", "authorization"].into_iter().find(|it| it != carrier);
            assert_eq!(field(&edits, other.unwrap()), None, "one header carries it");
        }
    }
}

#[test]
fn a_service_gets_no_more_than_it_needs() {
    let token = token(json!({
        "aud": ["shop-api", MCP], "scope": "orders.write catalog.read", "scp": ["admin"],
    }));
    let headers = json!([{"header": "x-type", "claim": "type"}]);
    let mut world = World::new(&shop(&[("/claim_to_headers", headers)]), ENVOY);
    let edits = get(&mut world, "/orders", &token);
    let text = carried(&edits, "x-identity-token").unwrap();
    let claims = read_as(&mut world, "orders", &text).unwrap();
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 60);
    assert_eq!(claims["country"], "ES");
    for left_out in ["type", "azp", "env", "scp"] {
        assert_eq!(claims[left_out], Value::Null, "{left_out}");
    }
    assert_eq!(field(&edits, "x-type"), None, "not in a header either");
    let edits = get(&mut world, "/api", &token);
    assert_eq!(field(&edits, "x-type").as_deref(), Some("premium"));
    let edits = get(&mut world, "/mcp", &token);
    let text = carried(&edits, "authorization").unwrap();
    let claims = read_as(&mut world, "shop-mcp", &text).unwrap();
    assert_eq!(claims["country"], Value::Null);
    // A token without any of the scopes says none.
    let other = KEY_A.token("a", &self::claims(json!({"scope": "catalog.read"})));
    let edits = get(&mut world, "/orders", &other);
    let text = carried(&edits, "x-identity-token").unwrap();
    assert_eq!(read_as(&mut world, "orders", &text).unwrap()["scope"], Value::Null);
}

fn claims(changes: Value) -> Value {
    crate::support::claims(changes)
}

/// An identity is minted once for each service, and again when it ends.
#[test]
fn identities_are_kept_by_what_they_are_for() {
    let token = token(json!({"aud": ["shop-api", MCP]}));
    let mut world = World::new(&shop(&[]), ENVOY);
    let text = |world: &mut World, path: &str| {
        let edits = get(world, path, &token);
        carried(&edits, "x-identity-token").or_else(|| carried(&edits, "authorization")).unwrap()
    };
    let (api, orders, mcp) =
        (text(&mut world, "/api"), text(&mut world, "/orders"), text(&mut world, "/mcp"));
    world.pass(10);
    assert_eq!(text(&mut world, "/api"), api);
    assert_eq!(text(&mut world, "/orders"), orders);
    assert_eq!(text(&mut world, "/mcp/x"), mcp);
    // 30 s before its end a token is not sent again.
    world.pass(21);
    assert_eq!(text(&mut world, "/api"), api);
    assert_ne!(text(&mut world, "/orders"), orders);
}

/// Whatever a client sends in the header of the identity: it never goes on.
#[test]
fn no_client_speaks_for_the_gateway() {
    let forged = "eyJhbGciOiJub25lIn0.e30.";
    for host in HOSTS {
        for path in ["/open", "/perhaps"] {
            for name in ["x-identity-token", "X-Identity-Token"] {
                let mut world = World::new(&shop(&[]), host);
                let edits = forwarded(world.begin(head(&[(":path", path), (name, forged)])));
                assert!(edits.sanitized().clear.iter().any(|it| it == name), "{path} {name}");
            }
        }
        let mut world = World::new(&shop(&[]), host);
        let sent = [(":path", "/open"), ("authorization", "Bearer forged")];
        let edits = forwarded(world.begin(head(&sent)));
        assert!(edits.sanitized().clear.iter().eq(["authorization"]));
        for path in ["/open", "/perhaps"] {
            for value in ["Basic YTpi", "Token forged", "X Bearer forged"] {
                let sent = [(":path", path), ("authorization", value)];
                let edits = forwarded(world.begin(head(&sent)));
                let cleared = edits.sanitized().clear.iter();
                assert!(cleared.eq(["authorization"]), "{host:?} {path} {value}");
            }
        }
    }
}

#[test]
fn a_rule_says_whether_the_public_token_goes_on() {
    let token = alice();
    for (global, path, goes_on) in [
        (false, "/api", false),
        (false, "/legacy", true),
        (true, "/api", true),
        (true, "/orders", false),
    ] {
        let mut edits = vec![("/resources", json!([])), ("/token", json!({"forward": global}))];
        if global {
            edits.push(("/rules/0/identity/forward", json!(false)));
        }
        let config = shop(&edits);
        let mut world = World::new(&config, ENVOY);
        let edits = get(&mut world, path, &token);
        let is_cleared = edits.sanitized().clear.iter().any(|name| name == "authorization");
        assert_eq!(!is_cleared, goes_on, "{global} {path}");
        // In shadow mode too, where the request would be denied.
        let mut config = config;
        put(&mut config, "/mode", json!("shadow"));
        put(&mut config, "/rules/0/requires", json!({"scopes_all": ["none"]}));
        put(&mut config, "/rules/2/requires", json!({"scopes_all": ["none"]}));
        let mut world = World::new(&config, ENVOY);
        let edits = get(&mut world, path, &token);
        let is_cleared = edits.sanitized().clear.iter().any(|name| name == "authorization");
        assert_eq!(!is_cleared, goes_on, "{global} {path}, shadow");
    }
}

/// Only the outermost actor decides (RFC 8693 section 4.1), and no chain is too long.
#[test]
fn who_may_act_for_a_user() {
    let planner = json!({"client_id": "planner"});
    let by = |client: &str, before: &Value| json!({"client_id": client, "act": before});
    let chain = |depth: usize| (1..depth).fold(planner.clone(), |act, _| by("planner", &act));
    let mut world = World::new(&shop(&[]), ENVOY);
    for (case, path, act, expected) in [
        ("the planner", "/planner", planner.clone(), "200"),
        ("nobody", "/planner", Value::Null, "claim_forbidden"),
        ("another", "/planner", json!({"client_id": "other"}), "claim_forbidden"),
        ("the planner before another", "/planner", by("other", &planner), "claim_forbidden"),
        ("another before the planner", "/planner", by("planner", &json!({"sub": "x"})), "200"),
        ("too many", "/planner", chain(3), "claim_forbidden"),
        ("an actor without a name", "/planner", json!({}), "claim_forbidden"),
        (
            "a name that is no text",
            "/planner",
            json!({"client_id": ["planner"]}),
            "claim_forbidden",
        ),
        ("a text", "/planner", json!("planner"), "token_malformed"),
        ("a list", "/api", json!([planner]), "token_malformed"),
        ("a text within", "/api", json!({"sub": "a", "act": "b"}), "token_malformed"),
        ("by subject", "/robot", json!({"sub": "robot"}), "200"),
        ("by another subject", "/robot", json!({"sub": "r"}), "claim_forbidden"),
        ("only the length", "/short", Value::Null, "200"),
        ("as short", "/short", planner.clone(), "200"),
        ("longer", "/short", chain(2), "claim_forbidden"),
        ("four anywhere", "/api", chain(4), "200"),
        ("five nowhere", "/api", chain(5), "claim_forbidden"),
        ("a claim rule", "/alone", planner.clone(), "claim_forbidden"),
        ("a claim rule that holds", "/alone", Value::Null, "200"),
    ] {
        let token = token(json!({"act": act}));
        for round in 0..2 {
            let mut step = world.begin(request(path, &token));
            if let gatepass::pipeline::Step::Wait(..) = step {
                step = world.answer(step, &ok(&json!({"sub": "alice"})));
            }
            if expected != "200" {
                assert_eq!(denied(step).1, expected, "{case}, {round}");
                continue;
            }
            let edits = forwarded(step);
            let identity = world.identity(&edits);
            assert_eq!(identity["act"], act, "{case}: as it came");
        }
    }
}

#[test]
fn an_actor_is_never_cut_off() {
    let act = json!({"sub": "agent", "act": {"sub": "other"}});
    let token = token(json!({"aud": ["shop-api", MCP], "act": act}));
    let mut world = World::new(&shop(&[]), ENVOY);
    for (path, service) in [("/orders", "orders"), ("/mcp", "shop-mcp")] {
        let edits = get(&mut world, path, &token);
        let text = carried(&edits, "x-identity-token").or_else(|| carried(&edits, "authorization"));
        assert_eq!(read_as(&mut world, service, &text.unwrap()).unwrap()["act"], act);
    }
    // The log names the outermost one.
    denied(world.begin(request("/planner", &token)));
    let log = world.gateway.take_log();
    assert_eq!(log.last().unwrap().json()["actor"], "agent");
}

fn transactions(edits: &[(&str, Value)]) -> World {
    let mut config = local([
        ("/identity_token/profile", json!("txn_token")),
        ("/identity_token/scopes", json!(["catalog.read"])),
        (
            "/consumers",
            json!({"optional": true, "entries": [{"key": "trusted", "trusted_without_scope": true}]}),
        ),
        (
            "/rules",
            json!([{"match": {"path": "/orders"}, "identity": {"scopes": ["orders.write", "orders.read"]}}]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    World::new(&config, ENVOY)
}

/// A purpose, bounded by what the public token has; an unknown scope is not unlimited.
#[test]
fn a_transaction_has_a_purpose() {
    for (case, path, claims, provider_trusted, expected) in [
        (
            "all of it",
            "/orders",
            json!({"scope": "orders.read orders.write x"}),
            false,
            Some("orders.read orders.write"),
        ),
        ("a part", "/orders", json!({"scope": "orders.read"}), false, Some("orders.read")),
        ("another", "/orders", json!({"scope": "catalog.read"}), false, None),
        ("none", "/orders", json!({}), false, None),
        ("none, elsewhere", "/api", json!({}), false, None),
        ("the default", "/api", json!({"scope": "catalog.read"}), false, Some("catalog.read")),
        (
            "a trusted consumer",
            "/orders",
            json!({"azp": "trusted"}),
            false,
            Some("orders.write orders.read"),
        ),
        (
            "a trusted one that says another",
            "/orders",
            json!({"azp": "trusted", "scope": "x"}),
            false,
            None,
        ),
        ("a trusted provider", "/orders", json!({}), true, Some("orders.write orders.read")),
    ] {
        let mut world =
            transactions(&[("/providers/shop/trusted_without_scope", json!(provider_trusted))]);
        for _ in 0..2 {
            let step = world.begin(request(path, &token(claims.clone())));
            let Some(scope) = expected else {
                assert_eq!(denied(step), (403, "insufficient_scope".to_owned()), "{case}");
                continue;
            };
            let text = field(&forwarded(step), "txn-token").unwrap();
            let found = read_as(&mut world, "services", &text).unwrap();
            assert_eq!(found["scope"], scope, "{case}");
        }
    }
}

/// Names that a token, a user and a configuration may use for each other's claims.
const WORDS: [&str; 6] = ["a", "b", "admin", "scope", "act", "country"];

/// Some of the words; the choice is made by the bytes of a hash.
fn words(random: &mut impl Iterator<Item = u8>) -> Vec<&'static str> {
    let mut next = || usize::from(random.next().unwrap());
    let count = next() % 4;
    (0..count).map(|_| WORDS[next() % WORDS.len()]).collect()
}

/// No scope, claim or actor that was neither in the public token nor in the
/// configuration is ever in an identity token, and none of the token's that the
/// configuration keeps back.
#[test]
fn nothing_is_made_up() {
    let mut compared = 0;
    for case in 0..300_u32 {
        let hashes =
            (0..4_u8).flat_map(|part| Sha256::digest([&case.to_be_bytes()[..], &[part]].concat()));
        let mut random = hashes.collect::<Vec<u8>>().into_iter();
        let held = words(&mut random);
        let (bound, kept) = (words(&mut random), words(&mut random));
        let default = words(&mut random);
        let mut flag = || random.next().unwrap() % 2 == 0;
        let (bound, kept) = (flag().then_some(bound), flag().then_some(kept));
        let (list, transaction) = (flag(), flag());
        let actor = flag().then(|| WORDS[usize::from(case as u8) % WORDS.len()]);
        let scope = if list { json!(held) } else { json!(held.join(" ")) };
        let act = actor.map_or(Value::Null, |name| json!({"sub": name}));
        let mapped = json!({"service": "users", "path": "/users/{sub}",
            "claims": {"country": "/country", "b": "/b"}});
        let kept = kept.map(|kept| {
            kept.into_iter()
                .filter(|name| ["a", "admin", "b", "country"].contains(name))
                .collect::<Vec<_>>()
        });
        let mut identity = json!({});
        if let Some(bound) = &bound {
            identity["scopes"] = json!(bound);
        }
        if let Some(kept) = &kept {
            identity["claims"] = json!(kept);
        }
        let mut config = local([
            ("/user_info", mapped),
            ("/identity_token/claims", json!({"copy": ["a", "scope"], "set": {"admin": "set"}})),
            ("/rules", json!([{"match": {"path_prefix": "/"}, "identity": identity}])),
        ]);
        if transaction {
            put(&mut config, "/identity_token/profile", json!("txn_token"));
            let default = if default.is_empty() { vec!["a"] } else { default.clone() };
            put(&mut config, "/identity_token/scopes", json!(default));
            if bound.as_ref().is_some_and(Vec::is_empty) {
                put(&mut config, "/rules/0/identity/scopes", json!(["b"]));
            }
        }
        let mut world = World::new(&config, ENVOY);
        let token = token(json!({"scope": scope, "act": act, "a": "of token", "b": "of token",
            "country": "of token", "admin": "of token"}));
        let step = world.begin(request("/api", &token));
        if !matches!(step, gatepass::pipeline::Step::Wait(..)) {
            assert!(transaction, "denied: {step:?}");
            continue;
        }
        compared += 1;
        let user =
            json!({"sub": "alice", "country": "of user", "scope": "admin", "act": {"sub": "root"}});
        let edits = forwarded(world.answer(step, &ok(&user)));
        let header = if transaction { "txn-token" } else { "x-identity-token" };
        let claims = read_as(&mut world, "services", &field(&edits, header).unwrap()).unwrap();
        for scope in
            claims["scope"].as_str().unwrap_or_default().split(' ').filter(|it| !it.is_empty())
        {
            assert!(held.contains(&scope), "{scope} is not in {held:?}");
            if let Some(bound) = bound.as_ref().filter(|bound| !bound.is_empty() || !transaction) {
                assert!(bound.contains(&scope), "{scope} is not in {bound:?}");
            }
        }
        assert_eq!(&claims["act"], &act);
        let said = if transaction { &claims["tctx"] } else { &claims };
        for (name, value) in [("a", "of token"), ("admin", "set"), ("country", "of user")] {
            let is_kept = kept.as_ref().is_none_or(|kept| kept.contains(&name));
            assert_eq!(said[name].as_str(), is_kept.then_some(value), "{}", name);
        }
        assert_eq!(&said["b"], &Value::Null, "user info decides it and does not say it");
    }
    assert!(compared > 100, "{compared} passed");
}
