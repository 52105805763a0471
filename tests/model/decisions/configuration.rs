//! Configurations at random, from what the manual says there is.

use serde_json::{Map, Value, json};

use super::super::json::exact;
use super::super::options;
use super::super::support::{self, KEY_A, KEY_B};
use super::Dice;

pub const SCOPES: [&str; 4] = ["read", "write", "admin", "orders"];
pub const GROUPS: [&str; 3] = ["staff", "partners", "first-party"];
pub const CLIENTS: [&str; 3] = ["web", "app", "courier"];
pub const SEGMENTS: [&str; 5] = ["a", "b", "admin", "orders", "files"];
pub const METHODS: [&str; 4] = ["GET", "POST", "PUT", "HEAD"];
pub const HOSTS: [&str; 4] =
    ["shop.example", "api.shop.example", "admin.shop.example", "other.example"];
/// Headers that rules ask about, and their values.
pub const MODES: [&str; 2] = ["x-mode", "x-tenant"];
pub const VALUES: [&str; 3] = ["on", "off", "acme"];
/// Claims of tokens; the second and the third are looked for in two places.
pub const CLAIMS: [&str; 5] =
    ["tenant", "realm.role", "https://shop.example/role", "level", "roles"];
/// Claims that user info may give, and where its reply has them.
pub const USER_CLAIMS: [(&str, &str); 7] = [
    ("country", "/address/country"),
    ("type", "/type"),
    ("level", "/level"),
    ("username", "/nick"),
    ("preferred_username", "/nick"),
    ("account.blocked", "/blocked"),
    ("https://shop.example/role", "/role"),
];

/// The providers' names, issuers and keys; two of them have the same key.
pub const PROVIDERS: [(&str, &str); 3] = [
    ("shop", "https://auth.shop.example"),
    ("partner", "https://auth.partner.example"),
    ("branch", "https://auth.shop.example/branch"),
];

/// Something for a claim to be.
pub fn claim_value(dice: &mut Dice) -> Value {
    // The gateway writes the sign of an exponent, which changes nothing of the number.
    let exact_ones = ["123456789012345678901", "123456789012345678902", "3.0", "3e+0", "0.1"];
    match dice.below(9) {
        0..3 => dice.pick(&VALUES).into(),
        3 => dice.pick(&["3", "true", "staff", "Acme", "a,b"]).into(),
        4 => dice.pick(&[3, 30, -1]).into(),
        5 => dice.chance(2).into(),
        6 if options::EXACT_NUMBERS => exact(dice.pick(&exact_ones)),
        7 if options::NULLS => Value::Null,
        _ => dice.pick(&["acme", "on"]).into(),
    }
}

/// A value that a rule may accept: no list, no object.
fn accepted(dice: &mut Dice) -> Value {
    loop {
        let value = claim_value(dice);
        if !value.is_null() {
            return value;
        }
    }
}

pub fn configuration(dice: &mut Dice) -> Value {
    let count = 2 + usize::from(dice.chance(3));
    let mut config = json!({
        "services": {"users": {"upstream": "users"}},
        "providers": {},
        "identity_token": identity_token(dice, count),
    });
    for (position, (name, issuer)) in PROVIDERS.iter().take(count).enumerate() {
        config["providers"][name] = provider(dice, position, issuer);
    }
    let mut parts: Vec<(&str, Value)> = Vec::new();
    if dice.chance(2) {
        parts.push(("token", token(dice)));
    }
    if !dice.chance(3) {
        parts.push(("consumers", consumers(dice, count)));
    }
    let keys: Vec<String> = entries_of(&parts);
    if dice.chance(2) {
        parts.push(("user_info", user_info(dice)));
    }
    let policies: Map<String, Value> = (0..dice.below(3))
        .map(|n| (format!("policy{n}"), requirements(dice, count, &keys)))
        .collect();
    let names: Vec<String> = policies.keys().cloned().collect();
    if !policies.is_empty() {
        parts.push(("policies", policies.into()));
    }
    let rules: Vec<Value> = (0..dice.below(7)).map(|_| rule(dice, count, &keys, &names)).collect();
    parts.push(("rules", rules.into()));
    if dice.chance(3) {
        parts.push(("claim_to_headers", claim_to_headers(dice)));
    }
    if dice.chance(4) {
        parts.push(("bypass_cors_preflight", false.into()));
    }
    if dice.chance(3) {
        let to = dice.pick(&["/a", "/admin?from=gateway", "https://shop.example/orders"]);
        parts.push(("errors", json!({"login_redirect": {"to": to, "return_to_param": "back"}})));
    }
    if dice.chance(6) {
        parts.push(("limits", json!({"max_identity_bytes": dice.pick(&[1024, 1100, 1200])})));
        config["identity_token"]["claims"]["set"]["about"] =
            "x".repeat(dice.pick(&[50, 200, 350, 500])).into();
    }
    for (name, value) in parts {
        config[name] = value;
    }
    config
}

fn entries_of(parts: &[(&str, Value)]) -> Vec<String> {
    let consumers = parts.iter().find(|(name, _)| *name == "consumers");
    let entries = consumers.and_then(|(_, consumers)| consumers["entries"].as_array());
    let keys = entries.into_iter().flatten().filter_map(|entry| entry["key"].as_str());
    keys.map(str::to_owned).collect()
}

fn provider(dice: &mut Dice, position: usize, issuer: &str) -> Value {
    let key = if position == 1 { &KEY_B } else { &KEY_A };
    let mut provider = json!({"issuer": issuer, "local_jwks": {"keys": [key.jwk("k")]}});
    if dice.chance(4) {
        provider["allow_any_audience"] = true.into();
    } else {
        provider["audiences"] = dice.some(&["shop-api", "partner-api", "web-api"], 1).into();
    }
    if dice.chance(3) {
        provider["clock_skew_seconds"] = dice.pick(&[0, 30, 300]).into();
    }
    if dice.chance(5) {
        provider["require_expiration"] = false.into();
    }
    if dice.chance(4) {
        provider["max_lifetime_seconds"] = dice.pick(&[3600, 7200, 86400]).into();
    }
    if dice.chance(6) {
        provider["token_types"] = dice.some(&["at+jwt", "JWT", "shop+jwt", "none"], 1).into();
    }
    if dice.chance(5) {
        let accepted: Vec<Value> = (0..dice.below(4)).map(|_| accepted(dice)).collect();
        provider["required_claims"] = json!({dice.pick(&CLAIMS): accepted});
    }
    if dice.chance(5) {
        provider["accept_unbound"] = true.into();
    }
    provider
}

fn token(dice: &mut Dice) -> Value {
    let bearer = json!({"name": "authorization", "value_prefix": "Bearer "});
    let own = json!({"name": "x-token", "value_prefix": ""});
    let mut token = json!({"from_headers": [bearer]});
    if dice.chance(2) {
        token["from_headers"] = json!([bearer, own]);
    }
    if dice.chance(2) {
        token["from_cookies"] = json!(["session"]);
    }
    if dice.chance(3) {
        token["from_params"] = json!(["access_token"]);
    }
    if dice.chance(4) {
        token["forward"] = true.into();
    }
    match dice.below(4) {
        0 => token["csrf"] = json!({"enforce": false}),
        1 => token["csrf"] = json!({"allowed_origins": ["https://app.example"]}),
        _ => {}
    }
    token
}

fn consumers(dice: &mut Dice, providers: usize) -> Value {
    let mut entries = Vec::new();
    for key in CLIENTS.iter().chain(PROVIDERS.iter().map(|(_, issuer)| issuer)) {
        if dice.chance(2) {
            continue;
        }
        let mut entry = json!({"key": key});
        let is_client = CLIENTS.contains(key);
        if is_client && !dice.chance(4) {
            entry["id"] = format!("{key}-id").into();
        }
        if is_client && !dice.chance(4) {
            entry["username"] = format!("{key} für alle, 100%").into();
        }
        if dice.chance(2) {
            entry["custom_id"] = "custom".into();
        }
        if !dice.chance(3) {
            entry["groups"] = dice.some(&GROUPS, 0).into();
        }
        if dice.chance(6) {
            entry["enabled"] = false.into();
        }
        if options::PROVIDERS_TOLD_APART {
            let names: Vec<&str> =
                PROVIDERS.iter().take(providers).map(|(name, _)| *name).collect();
            entry["providers"] = dice.some(&names, 1).into();
        }
        entries.push(entry);
    }
    let mut consumers = json!({"entries": entries});
    if dice.chance(3) {
        let claims = ["azp", "client_id", "iss", "realm.client"];
        consumers["claim"] = dice.some(&claims, 1).into();
    }
    if dice.chance(2) {
        consumers["optional"] = true.into();
    }
    if dice.chance(2) {
        consumers["anonymous"] = "guest".into();
    }
    consumers
}

fn user_info(dice: &mut Dice) -> Value {
    let mut info = json!({"service": "users", "path": "/users/{sub}"});
    if dice.chance(3) {
        info["path"] = "/users/{tenant}/{sub}?by={iss}".into();
    }
    match dice.below(6) {
        0 => info["subject_pointer"] = "/user/id".into(),
        1 if options::REPLIES_WITHOUT_SUBJECT => info["subject_pointer"] = Value::Null,
        _ => {}
    }
    if !dice.chance(5) {
        let known = if options::DOTTED_USER_CLAIMS { 7 } else { 5 };
        let mut claims = Map::new();
        for (name, pointer) in &USER_CLAIMS[..known] {
            if dice.chance(2) {
                claims.insert((*name).to_owned(), (*pointer).into());
            }
        }
        if let Some(name) = claims.keys().next().cloned().filter(|_| dice.chance(4)) {
            info["required"] = json!([name]);
        }
        if !claims.is_empty() {
            info["claims"] = claims.into();
        }
    }
    if dice.chance(3) {
        info["failure_mode"] = "degrade".into();
    }
    info
}

fn identity_token(dice: &mut Dice, providers: usize) -> Value {
    let mut token = json!({
        "issuer": "https://gateway.internal",
        "audiences": dice.some(&["services", "others"], 1),
        "signing_keys": [{"algorithm": "EdDSA", "private_key": support::gateway_key("EdDSA")}],
    });
    if dice.chance(3) {
        token["ttl_seconds"] = dice.pick(&[1, 60, 3600]).into();
    }
    if dice.chance(2) {
        let copied = dice.some(&["tenant", "roles", "realm", "scope"], 1);
        token["claims"] = json!({"copy": copied, "set": {"env": dice.pick(&["prod", "eu,west"]), "limits": [1, {"b": null}]}});
    }
    if options::PROVIDERS_TOLD_APART && providers > 1 {
        token["subject"] = dice.pick(&["{sub}", "{provider}:{sub}"]).into();
    }
    token
}

fn claim_to_headers(dice: &mut Dice) -> Value {
    let named = [
        ("x-user-country", json!("country")),
        ("x-tenant-name", json!(["tenant"])),
        ("x-roles", json!("roles")),
        ("x-env", json!("env")),
        ("x-role", json!(["realm", "role"])),
    ];
    let formats = ["text", "csv", "json", "json_base64"];
    let chosen: Vec<Value> = named
        .into_iter()
        .filter(|_| dice.0.below(2) == 0)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(header, claim)| json!({"header": header, "claim": claim, "format": dice.pick(&formats)}))
        .collect();
    chosen.into()
}

fn path(dice: &mut Dice, length: usize) -> String {
    (0..length).map(|_| format!("/{}", dice.pick(&SEGMENTS))).collect()
}

fn matcher(dice: &mut Dice) -> Value {
    let mut matcher = json!({});
    match dice.below(5) {
        0 => {
            let length = 1 + dice.below(2);
            matcher["path"] = path(dice, length).into();
        }
        1 | 2 => {
            let length = 1 + dice.below(2);
            matcher["path_prefix"] = path(dice, length).into();
        }
        3 => {
            let start = path(dice, 1);
            let rest = ["/{id}", "/*/orders", "/{id}/orders", "/**", "/{id}/**", "/b/**"];
            matcher["path_template"] = format!("{start}{}", dice.pick(&rest)).into();
        }
        _ => {}
    }
    if dice.chance(3) {
        matcher["methods"] = dice.some(&METHODS, 1).into();
    }
    if dice.chance(4) {
        let hosts = ["shop.example", "*.shop.example", "ADMIN.shop.example", "*.example"];
        matcher["hosts"] = dice.some(&hosts, 1).into();
    }
    if dice.chance(4) {
        let name = dice.pick(&MODES);
        matcher["headers"] = match dice.below(3) {
            0 => json!([{"name": name, "present": dice.chance(2)}]),
            _ => json!([{"name": name, "value": dice.pick(&VALUES)}]),
        };
    }
    matcher
}

fn rule(dice: &mut Dice, providers: usize, keys: &[String], policies: &[String]) -> Value {
    let mut rule = json!({"match": matcher(dice)});
    match dice.below(8) {
        0 => rule["bypass"] = true.into(),
        1 => {}
        2 | 3 if !policies.is_empty() => {
            let names: Vec<&str> = policies.iter().map(String::as_str).collect();
            rule["policy"] = dice.pick(&names).into();
        }
        _ => rule["requires"] = requirements(dice, providers, keys),
    }
    rule
}

fn requirements(dice: &mut Dice, providers: usize, keys: &[String]) -> Value {
    let mut requires = json!({});
    if dice.chance(5) {
        let names: Vec<&str> = PROVIDERS.iter().take(providers).map(|(name, _)| *name).collect();
        requires["providers"] = dice.some(&names, 1).into();
    }
    for (field, pool) in [
        ("scopes_all", &SCOPES[..]),
        ("scopes_any", &SCOPES),
        ("groups_any", &GROUPS),
        ("groups_none", &GROUPS),
    ] {
        if dice.chance(5) {
            requires[field] = dice.some(pool, 0).into();
        }
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    if dice.chance(6) && !keys.is_empty() {
        requires["consumers"] = dice.some(&keys, 1).into();
    }
    if dice.chance(2) {
        let mut claims = Map::new();
        let users: Vec<&str> = USER_CLAIMS.iter().map(|(name, _)| *name).collect();
        let users = if options::DOTTED_USER_CLAIMS { &users[..] } else { &users[..3] };
        for _ in 0..=dice.below(2) {
            let name = match dice.below(8) {
                0..4 => dice.pick(&CLAIMS),
                4 => "user.type",
                _ => dice.pick(users),
            };
            let wanted = match dice.below(8) {
                0 => "present".into(),
                1 => "absent".into(),
                2 => json!({ "equals": [accepted(dice)] }),
                3 => json!({ "contains": [accepted(dice)] }),
                _ => (0..=dice.below(2)).map(|_| accepted(dice)).collect(),
            };
            claims.insert(name.to_owned(), wanted);
        }
        requires["claims"] = claims.into();
    }
    if dice.chance(4) {
        requires["allow_missing"] = true.into();
    }
    requires
}
