//! The work of a configuration grows as each of its lists does: a configuration of a large
//! company, or one that a program writes, must not occupy a worker for seconds at a start.

use serde_json::{Map, Value, json};

use super::{MOST, World, words};

/// One list of a size, as sections of a configuration.
type Build = fn(usize) -> Value;

/// Of `n` words a list of these.
fn each<T>(n: usize, value: impl Fn(String) -> T) -> Vec<T> {
    words(0..n).map(value).collect()
}

/// Of `n` words an object with these as values.
fn named(n: usize, value: impl Fn(String) -> Value) -> Map<String, Value> {
    words(0..n).map(|word| (format!("n{word}"), value(word))).collect()
}

fn rule(matches: Value) -> Value {
    json!({"match": matches, "requires": {"scopes_all": ["read"]}})
}

fn requiring(requires: Value) -> Value {
    json!({"rules": [{"match": {"path_prefix": "/"}, "requires": requires}]})
}

/// Providers, each with a consumer and a rule that name it.
fn providers(n: usize) -> Value {
    let provider = |word| {
        json!({
            "issuer": format!("https://{word}.example"), "audiences": ["shop"],
            "remote_jwks": {"service": "users", "path": "/jwks"},
        })
    };
    let entry = |word| json!({"key": "web", "username": word, "providers": [format!("n{word}")]});
    let rule = |word| {
        json!({
            "match": {"path": format!("/{word}")}, "requires": {"providers": [format!("n{word}")]},
        })
    };
    json!({
        "providers": named(n, provider), "rules": each(n, rule),
        "identity_token": {"subject": "{provider}:{sub}"},
        "consumers": {"optional": true, "entries": each(n, entry)},
    })
}

/// Each list that may be long: who writes it knows thousands of these.
const CASES: [(&str, Build); 34] = [
    ("services", |n| json!({"services": named(n, |word| json!({"upstream": word}))})),
    ("providers", providers),
    (
        "audiences of a provider",
        |n| json!({"providers": {"shop": {"audiences": each(n, |word| word)}}}),
    ),
    (
        "required claims",
        |n| json!({"providers": {"shop": {"required_claims": named(n, |word| json!([word]))}}}),
    ),
    (
        "values of a required claim",
        |n| json!({"providers": {"shop": {"required_claims": {"a": each(n, |word| word)}}}}),
    ),
    ("headers of tokens", |n| {
        let header = |word| json!({"name": format!("x-{word}")});
        json!({"token": {"from_headers": each(n, header)}})
    }),
    ("cookies of tokens", |n| json!({"token": {"from_cookies": each(n, |word| word)}})),
    ("parameters of tokens", |n| json!({"token": {"from_params": each(n, |word| word)}})),
    ("origins", |n| {
        let origin = |word| format!("https://{word}.example");
        json!({"token": {"csrf": {"allowed_origins": each(n, origin)}}})
    }),
    ("consumers", |n| {
        let entry = |word: String| json!({"key": word, "username": word, "id": word});
        json!({"consumers": {"entries": each(n, entry)}})
    }),
    (
        "groups of a consumer",
        |n| json!({"consumers": {"entries": [{"key": "web", "groups": each(n, |word| word)}]}}),
    ),
    ("acls of a consumer", |n| {
        let acl = |word| json!({"group": word});
        json!({"consumers": {"entries": [{"key": "web", "acls": each(n, acl)}]}})
    }),
    (
        "claims of consumers",
        |n| json!({"consumers": {"optional": true, "claim": each(n, |word| word)}}),
    ),
    (
        "copied claims",
        |n| json!({"identity_token": {"claims": {"copy": each(n, |word| format!("c{word}"))}}}),
    ),
    (
        "constant claims",
        |n| json!({"identity_token": {"claims": {"set": named(n, |word| json!(word))}}}),
    ),
    ("audiences of services", |n| json!({"identity_token": {"audiences": each(n, |word| word)}})),
    ("headers for claims", |n| {
        let header = |word| json!({"header": format!("x-{word}"), "claim": format!("c{word}")});
        json!({"claim_to_headers": each(n, header)})
    }),
    ("headers for copied claims", |n| {
        let claim = |word| format!("c{word}");
        let header = |word| json!({"header": format!("x-{word}"), "claim": format!("c{word}")});
        json!({
            "claim_to_headers": each(n, header),
            "identity_token": {"claims": {"copy": each(n, claim)}},
        })
    }),
    ("claims of users", |n| {
        let claims = named(n, |word| json!(format!("/{word}")));
        let names = each(n, |word| format!("n{word}"));
        let headers =
            each(n, |word| json!({"header": format!("x-{word}"), "claim": format!("n{word}")}));
        json!({
            "user_info": {"service": "users", "path": "/{sub}", "claims": claims, "required": names},
            "claim_to_headers": headers,
        })
    }),
    ("policies", |n| {
        let rule =
            |word| json!({"match": {"path": format!("/{word}")}, "policy": format!("n{word}")});
        json!({
            "policies": named(n, |word| json!({"scopes_all": [word]})), "rules": each(n, rule),
        })
    }),
    (
        "rules for paths",
        |n| json!({"rules": each(n, |word| rule(json!({"path": format!("/{word}")})))}),
    ),
    (
        "rules for prefixes",
        |n| json!({"rules": each(n, |word| rule(json!({"path_prefix": format!("/{word}")})))}),
    ),
    (
        "rules for templates",
        |n| json!({"rules": each(n, |word| rule(json!({"path_template": format!("/{word}/*")})))}),
    ),
    ("rules for hosts", |n| {
        let matches = |word| json!({"path_prefix": "/", "hosts": [format!("{word}.example")]});
        json!({"rules": each(n, |word| rule(matches(word)))})
    }),
    ("rules for headers", |n| {
        let matches = |word| json!({"path_prefix": "/", "headers": [{"name": format!("x-{word}"), "value": "1"}]});
        json!({"rules": each(n, |word| rule(matches(word)))})
    }),
    ("rules with identities", |n| {
        let rule = |word: String| {
            json!({
                "match": {"path": format!("/{word}")}, "requires": {},
                "identity": {"audiences": [word], "header": {"name": format!("x-{word}")}},
            })
        };
        json!({"rules": each(n, rule)})
    }),
    ("hosts of a rule", |n| {
        let hosts = each(n, |word| format!("{word}.example"));
        json!({"rules": [rule(json!({"path_prefix": "/", "hosts": hosts}))]})
    }),
    ("scopes of a rule", |n| requiring(json!({"scopes_all": each(n, |word| word)}))),
    ("groups of a rule", |n| {
        let consumers = json!({"optional": true, "groups_claims": ["groups"]});
        let mut sections = requiring(json!({"groups_any": each(n, |word| word)}));
        sections["consumers"] = consumers;
        sections
    }),
    ("consumers of a rule", |n| {
        let entry = |word: String| json!({"key": word, "username": word});
        let mut sections = requiring(json!({"consumers": each(n, |word| word)}));
        sections["consumers"] = json!({"entries": each(n, entry)});
        sections
    }),
    ("claims of a rule", |n| requiring(json!({"claims": named(n, |word| json!([word]))}))),
    ("values of a rule's claim", |n| requiring(json!({"claims": {"a": each(n, |word| word)}}))),
    ("resources", |n| {
        let resource = |word| json!({"resource": format!("https://api.example/{word}")});
        json!({"resources": each(n, resource)})
    }),
    ("logins", |n| {
        let login = |word: String| {
            json!({
                "match": {"path": format!("/{word}")}, "service": "users",
                "json": [format!("/{word}")], "cookies": [word],
            })
        };
        json!({
            "sealed_tokens": {
                "keys": ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="], "logins": each(n, login),
            },
            "token": {"from_cookies": each(n, |word| word)},
        })
    }),
];

/// The work of a configuration with a list; why it is refused otherwise.
fn fuel(world: &World, sections: Value) -> Result<f64, String> {
    let configuration = world.configuration(sections);
    let _ = world.host.take_fuel();
    let plugin = world.host.add(configuration);
    let fuel: u64 = world.host.take_fuel().values().sum();
    let why = || world.host.logs().pop().map(|line| line.text).unwrap_or_default();
    plugin.ok_or_else(why)?.retire();
    Ok(fuel as f64)
}

/// By how much the second step exceeds the first.
fn growth(world: &World, (name, build): (&str, Build)) -> Option<String> {
    const SIZE: usize = 400;
    let fuels: Result<Vec<_>, _> =
        [1, 2, 4].map(|it| fuel(world, build(SIZE * it))).into_iter().collect();
    let [one, two, four] = match fuels.as_deref() {
        Ok([one, two, four]) => [*one, *two, *four],
        other => return Some(format!("{name}: {other:?}")),
    };
    let growth = (four - two) / (two - one);
    println!("{one:>12} {two:>12} {four:>12}  {growth:>5.2}  {name}");
    (growth >= MOST).then(|| format!("{name}: {growth:.2}"))
}

#[test]
fn no_list_of_a_configuration_takes_more_than_its_size() {
    let world = World::new(json!({}));
    let faults: Vec<_> = CASES.into_iter().filter_map(|case| growth(&world, case)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
