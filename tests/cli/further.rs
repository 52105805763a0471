//! Twenty further mistakes, found by trying them as a new user would: each is named in its
//! line, with what to write instead, and what is told makes the file right.

use crate::files::{OWN, with};
use crate::support::Desk;

/// What is written, what is right, the line, and what is told.
const MISTAKES: [(&str, &str, usize, &str); 26] = [
    (
        "upstream: 'auth:0', auth",
        "upstream: auth, auth",
        2,
        "found \"auth:0\", accepted: a port from 1 to 65535",
    ),
    ("upstream: 'auth:70000', auth", "upstream: auth, auth", 2, "accepted: a port from 1 to 65535"),
    (
        "authority: auth.internal, tls: true}",
        "authority: auth.internal}",
        2,
        "services.auth.tls: did you mean scheme?",
    ),
    (
        "authority: auth.internal, scheme: HTTPS}",
        "authority: auth.internal}",
        2,
        "did you mean https?",
    ),
    (
        "authority: auth.internal, timeout_ms: 1s}",
        "authority: auth.internal}",
        2,
        "found \"1s\", accepted: a whole number, 1 to 60000",
    ),
    (
        "issuer: https://auth.shop.example#production",
        "issuer: https://auth.shop.example",
        6,
        "warning: providers.shop.issuer: the # is part of the issuer",
    ),
    (
        "audiences: [shop-api]#ours",
        "audiences: [shop-api]",
        7,
        "a # right behind a value: a comment has a space before it",
    ),
    (
        "local_jwks: {keys: []}",
        "remote_jwks: {service: auth, path: /jwks.json}",
        8,
        "local_jwks.keys: found an empty list of keys, accepted: a list with at least one element, a JWK",
    ),
    (
        "local_jwks: '{\"keys\": []}'",
        "remote_jwks: {service: auth, path: /jwks.json}",
        8,
        "found a string, accepted: an object such as {keys: [...]}, with a JWK for each key",
    ),
    (
        "jwks_uri: https://auth.shop.example/jwks.json",
        "remote_jwks: {service: auth, path: /jwks.json}",
        8,
        "jwks_uri: did you mean remote_jwks?",
    ),
    (
        "max_lifetime_seconds: 99999999999999999999",
        "max_lifetime_seconds: 3600",
        9,
        "accepted: a whole number, 1 to 31536000",
    ),
    (
        "max_lifetime_seconds: 1e3",
        "max_lifetime_seconds: 3600",
        9,
        "1e3 without quotes is the text \"1e3\" to Envoy, and 1000 to Kong: write \"1e3\" for the text, else 1000",
    ),
    (
        "max_lifetime_seconds: 3600\n    clock_skew_seconds: 600",
        "max_lifetime_seconds: 3600",
        10,
        "found 600, accepted: a whole number, 0 to 300",
    ),
    (
        "max_lifetime_seconds: 3600\n    binding: {mtls: {header: authorization, from: [10.0.0.0/8]}}",
        "max_lifetime_seconds: 3600",
        10,
        "found \"authorization\", accepted: the header in which a proxy passes on the client's certificate",
    ),
    (
        "audiences: [services]\n  header: host",
        "audiences: [services]",
        18,
        "found \"host\", accepted: a header name, such as x-user-country, and none that HTTP itself needs",
    ),
    (
        "audiences: [services]\n  ttl_seconds: 5m",
        "audiences: [services]",
        18,
        "found \"5m\", accepted: a whole number, 1 to 3600",
    ),
    (
        "token: {from_headers: [authorization]}\nrules:",
        "rules:",
        20,
        "token.from_headers[0]: found a string, accepted: an object such as {name: x-token",
    ),
    (
        "token: {from_headers: [{name: a, prefix: Bearer}]}\nrules:",
        "rules:",
        20,
        "prefix: did you mean value_prefix?",
    ),
    (
        "errors: {login_redirect: /login}\nrules:",
        "rules:",
        20,
        "found a string, accepted: an object such as {to: /login}",
    ),
    (
        "consumers: [{key: web, username: web}]\nrules:",
        "rules:",
        20,
        "consumers: found an array, accepted: an object with the claim and its entries: [...]",
    ),
    (
        "mode: off\nrules:",
        "rules:",
        20,
        "found false, accepted: enforce | shadow; off without quotes is false to Envoy: write \"off\"",
    ),
    (
        "revocation: {events: {path: /e, transmitters: [{issuer: 'https://a.example', audiences: [a], token_types: [secevent], remote_jwks: {service: auth, path: /k}}]}}\nrules:",
        "rules:",
        20,
        "token_types[0]: found \"secevent\", accepted: the whole type, secevent+jwt",
    ),
    (
        "- match: {uri: /login}",
        "- match: {path_prefix: /login}",
        21,
        "match.uri: did you mean path?",
    ),
    (
        "- match: {methods: [no]}",
        "- match: {path_prefix: /login}",
        21,
        "found false, accepted: a method in upper case, such as GET; no without quotes is false to Envoy: write \"no\"",
    ),
    (
        "  requires: {claims: {role: admin}}",
        "  bypass: true",
        22,
        "found \"admin\", accepted: present | absent, or a list of accepted values, such as [admin]",
    ),
    (
        "  requires: {claims: {role: {in: [admin]}}}",
        "  bypass: true",
        22,
        "role.in: did you mean equals?",
    ),
];

#[test]
fn twenty_further_mistakes_are_mended_by_what_is_told() {
    let desk = Desk::new();
    desk.put("own.yaml", OWN);
    desk.run(&["check", "--strict", "own.yaml"]).ended(0);
    for (wrong, right, line, told) in MISTAKES {
        desk.put("own.yaml", &with(OWN, right, wrong));
        let run = desk.run(&["check", "--strict", "own.yaml"]);
        assert!([1, 2].contains(&run.status), "{wrong}: {run:?}");
        let place = format!("own.yaml:{line}: ");
        let all = format!("{}{}", run.out, run.err);
        let is_told = |row: &str| row.contains(&place) && row.contains(told);
        assert!(all.lines().any(is_told), "{wrong}: {place}{told}\n{all}");
    }
}

/// The other commands name the line as well.
#[test]
fn explain_names_the_line_of_each_problem() {
    let desk = Desk::new();
    let file = with(OWN, "audiences: [shop-api]", "audience: [shop-api]");
    desk.put("own.yaml", &with(&file, "  bypass: true", "  bypass: 1"));
    for command in [&["explain", "-c"][..], &["verify", "a.b.c", "-c"]] {
        let run = desk.run(&[command, &["own.yaml"]].concat()).ended(2);
        for told in
            ["own.yaml: the configuration is not accepted", "own.yaml:7: $.providers.shop.audience"]
        {
            assert!(run.err.contains(told), "{command:?}: {told}: {run:?}");
        }
    }
}
