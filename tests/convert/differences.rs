//! Differences that configurations of real gateways showed, and the notes on them.

use gatepass_cli::convert::{Converted, Selection, convert};
use serde_json::{Value, json};

fn converted(text: &str) -> Converted {
    convert(text, &Selection::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The notes that begin so, and whether they are of a change.
fn told(converted: &Converted, start: &str) -> Vec<(String, bool)> {
    let own = converted.notes.iter().filter(|note| note.to_string().starts_with(start));
    own.map(|note| (note.to_string(), note.is_change)).collect()
}

/// Envoy with providers `a` and `b`, which have these fields, and with these routes.
fn envoy(fields: [&str; 2], rules: &str, settings: &str, routes: &str) -> String {
    let provider = |name: &str, fields: &str| {
        format!(
            "{name}: {{issuer: 'https://{name}.example'{fields}, remote_jwks: {{http_uri: \
             {{uri: 'https://{name}.example/k', cluster: {name}, timeout: 1s}}}}}}"
        )
    };
    format!(
        "static_resources: {{listeners: [{{http_filters: [{{typed_config: {{'@type': \
         type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication, \
         providers: {{{}, {}}}, rules: [{rules}]}}}}]{settings}, \
         route_config: {{virtual_hosts: [{routes}]}}}}]}}",
        provider("a", fields[0]),
        provider("b", fields[1]),
    )
}

const ALL: &str = "{match: {prefix: /}, requires: {provider_name: a}}";
const NORMALIZED: &str = ", normalize_path: true";

#[test]
fn paths_in_another_case() {
    let text = "{match: {prefix: /a, case_sensitive: false}, requires: {provider_name: a}}";
    let made = converted(&envoy([""; 2], text, NORMALIZED, ""));
    let [(note, true)] = &told(&made, "rules[0]: case_sensitive: false")[..] else { panic!() };
    assert!(note.contains("path_ambiguous"), "{note}");
    // What that takes is not open in another case.
    for (path, asks) in [("prefix: /A", true), ("prefix: /Ab", false), ("path: /A", false)] {
        let rules = format!("{text}, {{match: {{{path}}}}}");
        let made = converted(&envoy([""; 2], &rules, NORMALIZED, ""));
        let requires = &made.configuration["rules"][1]["requires"];
        assert_eq!(*requires == json!({"providers": ["a"]}), asks, "{path}");
        assert_eq!(told(&made, "rules[1]: its path differs").len(), usize::from(asks), "{path}");
    }
    for same in [text.replace("false", "true"), ALL.to_owned()] {
        let made = converted(&envoy([""; 2], &same, NORMALIZED, ""));
        assert_eq!(told(&made, "rules[0]"), []);
    }
}

/// Envoy gives `/%68ealth` to the rule for `/` unless it normalizes paths.
#[test]
fn encoded_letters_open_nothing_in_silence() {
    let rules = format!("{{match: {{path: /health}}}}, {ALL}");
    let start = "the file: percent-encoded letters";
    for (rules, settings, expected) in [
        (rules.as_str(), "", Some(true)),
        (&rules, ", normalize_path: false", Some(true)),
        (&rules, NORMALIZED, None),
        (ALL, "", Some(false)),
    ] {
        let made = converted(&envoy([""; 2], rules, settings, ""));
        let is_change = told(&made, start).first().map(|(_, is_change)| *is_change);
        assert_eq!(is_change, expected, "{rules} {settings}");
    }
}

const OFF: &str = "typed_per_filter_config: {envoy.filters.http.jwt_authn: {'@type': \
                   type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, disabled: true}}";

/// The rule of a route without the filter, if it can have been reached by no other request.
#[test]
fn routes_without_the_filter() {
    let off = |condition: &str| format!("{{match: {{{condition}}}, {OFF}}}");
    let on = |condition: &str| format!("{{match: {{{condition}}}}}");
    let health = off("path: /health");
    let is_written = |hosts: String| {
        let made = converted(&envoy([""; 2], ALL, NORMALIZED, &hosts));
        let rule = json!({"match": {"path": "/health"}, "bypass": true});
        let has_note = !told(&made, "rules: $").is_empty();
        let is_written = made.configuration["rules"][0] == rule;
        assert_eq!(is_written, !has_note, "{hosts}");
        is_written
    };
    let host = |routes: &[&str]| format!("{{domains: ['*'], routes: [{}]}}", routes.join(", "));
    assert!(is_written(host(&[&health])));
    assert!(is_written(host(&[&on("prefix: /api"), &health, &on("prefix: /")])));
    assert!(is_written(host(&[&on("path: /healthy"), &health])));
    for before in [
        "prefix: /",
        "prefix: /he",
        "path: /health, headers: [{name: x-a, present_match: true}]",
        "path: /HEALTH, case_sensitive: false",
        "safe_regex: {regex: '/h.*'}",
        "path: /other, unknown: 1",
    ] {
        assert!(!is_written(host(&[&on(before), &health])), "{before}");
    }
    let other = "{domains: [a.example], routes: [{match: {prefix: /}}]}";
    assert!(!is_written(format!("{}, {other}", host(&[&health]))));
    assert!(!is_written(host(&[&health]).replace("'*'", "a.example")));
    assert!(!is_written(host(&[&health.replace("disabled: true", "disabled: false")])));
}

/// What one issuer says of its users another one may not say in the same header.
#[test]
fn headers_that_not_every_issuer_fills() {
    let header =
        |claim: &str| format!(", claim_to_headers: [{{header_name: X-U, claim_name: {claim}}}]");
    let (name, login) = (header("name"), header("login"));
    for (one, two, sent) in [
        (&name, "", "removed-by-convert"),
        (&name, &login, "removed-by-convert"),
        (&name, &name, "name"),
    ] {
        let made = converted(&envoy([one, two], ALL, NORMALIZED, ""));
        let headers = json!([{"header": "x-u", "claim": sent, "format": "text"}]);
        assert_eq!(made.configuration["claim_to_headers"], headers, "{two}");
        let notes = told(&made, "provider a: the header x-u with the claim \"name\" is not sent");
        let is_told = sent != "name";
        assert_eq!(notes.first().map(|it| it.1), is_told.then_some(true), "{two}");
    }
    // Tokens of one that is left out do not pass.
    let out = envoy([&name, ", subjects: {prefix: x}"], ALL, NORMALIZED, "");
    let made = converted(&out);
    assert_eq!(made.configuration["claim_to_headers"][0]["claim"], json!("name"));
    // Of one issuer, the first.
    let same = out.replace("https://b", "https://a").replace(", subjects: {prefix: x}", &login);
    let notes =
        told(&converted(&same), "provider b: the header x-u has the claim \"name\" already");
    assert!(matches!(&notes[..], [(_, true)]), "{notes:?}");
}

/// An identity token has these claims as well, and other values in them.
#[test]
fn claims_that_are_the_gateways_own() {
    for (claim, sent) in [
        ("iss", false),
        ("aud", false),
        ("exp", false),
        ("iat", false),
        ("client_id", false),
        ("groups", false),
        ("sub", true),
        ("scope", true),
        ("role", true),
    ] {
        let fields = format!(", claim_to_headers: [{{header_name: x-h, claim_name: {claim}}}]");
        let made = converted(&envoy([&fields, &fields], ALL, NORMALIZED, ""));
        let expected = if sent { claim } else { "removed-by-convert" };
        assert_eq!(made.configuration["claim_to_headers"][0]["claim"], json!(expected));
        let notes = told(&made, "provider a: the header x-h");
        assert_eq!(notes.first().map(|it| it.1), (!sent).then_some(true), "{claim}: {notes:?}");
    }
}

#[test]
fn claims_that_may_be_lists() {
    let fields = ", claim_to_headers: [{header_name: x-g, claim_name: roles}, {header_name: x-s, claim_name: sub}]";
    let made = converted(&envoy([fields, fields], ALL, NORMALIZED, ""));
    assert_eq!(told(&made, "header x-g: a list or an object is sent as text").len(), 1);
    let made = converted(&envoy([fields, ""], ALL, NORMALIZED, ""));
    assert_eq!(told(&made, "header x-g: a list or an object is sent as text"), [], "not sent");
}

/// Older files of decK have none.
#[test]
fn a_kong_yml_without_its_format() {
    for (text, is_told) in
        [("services: [{name: a, url: 'http://a'}]", true), ("services: {a: {}}", false)]
    {
        let error = convert(text, &Selection::default()).unwrap_err().to_string();
        assert_eq!(error.contains("_format_version is missing"), is_told, "{error}");
    }
}

/// Manifests for Kong's controller before 3.0 are still in use.
#[test]
fn a_secret_whose_type_is_in_its_data() {
    let text = "apiVersion: configuration.konghq.com/v1\nkind: KongConsumer\nmetadata: {name: a, annotations: \
                {kubernetes.io/ingress.class: kong}}\nusername: a\ncredentials: [s]\n---\napiVersion: v1\n\
                kind: Secret\nmetadata: {name: s}\nstringData: {kongCredType: jwt, key: k, secret: s}\n";
    let error = convert(text, &Selection::default()).unwrap_err().to_string();
    for words in ["write konghq.com/credential: jwt", "one of its groups is not known"] {
        assert!(error.contains(words), "{error}");
    }
}

/// Two plugins on two routes, of which one writes a header.
#[test]
fn headers_of_one_of_kongs_plugins() {
    let route = |name: &str, options: &str| {
        format!(
            "{{name: {name}, paths: [/{name}], plugins: [{{name: openid-connect, config: {{issuer: \
             'https://{name}.example', auth_methods: [bearer]{options}}}}}]}}"
        )
    };
    let header = ", upstream_headers_claims: [role], upstream_headers_names: [x-role]";
    for (two, sent) in [("", "removed-by-convert"), (header, "role")] {
        let routes = [route("a", header), route("b", two)].join(", ");
        let made = converted(&format!(
            "_format_version: '3.0'\nservices: [{{name: s, url: 'http://s', routes: [{routes}]}}]\n"
        ));
        assert_eq!(made.configuration["claim_to_headers"][0]["claim"], json!(sent));
    }
}

#[test]
fn a_rule_for_a_provider_that_is_left_out() {
    let rules = format!("{{match: {{prefix: /b}}, requires: {{provider_name: b}}}}, {ALL}");
    let made = converted(&envoy(["", ", subjects: {prefix: x}"], &rules, NORMALIZED, ""));
    assert!(matches!(&told(&made, "rules[0]: nobody passes")[..], [(_, true)]));
    assert_eq!(told(&made, "rules[1]"), []);
}

#[test]
fn audiences_that_envoy_trims() {
    for (audience, is_told) in [("https://api.example", true), ("api/", true), ("api", false)] {
        let fields = format!(", audiences: ['{audience}']");
        let made = converted(&envoy([&fields, ""], ALL, NORMALIZED, ""));
        let notes = told(&made, "provider a: audiences are compared as they stand");
        assert_eq!(notes.first().map(|it| it.1), is_told.then_some(false), "{audience}");
    }
}

/// Beside another token an expired one in a cookie is ignored: a service must not get it.
#[test]
fn cookies_that_nobody_verified() {
    let start = "token: forward is false: a cookie";
    let places = ", forward: true, from_headers: [{name: authorization, value_prefix: 'Bearer '}]";
    let with = format!("{places}, from_cookies: [session]");
    let kong = |options: &str| {
        format!(
            "_format_version: '3.0'\nconsumers: [{{username: a, jwt_secrets: [{{key: a, secret: \
             0123456789abcdef0123456789abcdef}}]}}]\nservices: [{{name: s, url: 'http://s', routes: \
             [{{name: r, paths: [/r], plugins: [{{name: jwt, config: {{{options}}}}}]}}]}}]\n"
        )
    };
    for (text, forwards) in [
        (envoy([places, places], ALL, NORMALIZED, ""), true),
        (envoy([&with, &with], ALL, NORMALIZED, ""), false),
        (kong(""), true),
        (kong("cookie_names: []"), true),
        (kong("cookie_names: [session]"), false),
    ] {
        let made = converted(&text);
        let forward = made.configuration["token"].get("forward").and_then(Value::as_bool);
        assert_eq!(forward.unwrap_or_default(), forwards, "{text}");
        assert_eq!(told(&made, start).len(), usize::from(!forwards), "{text}");
    }
}

fn policy(principal: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {{name: p}}\n\
         spec: {{jwt: {{providers: [{{name: a, issuer: 'https://a.example', remoteJWKS: {{uri: \
         'https://a.example/k'}}}}]}}, authorization: {{defaultAction: Deny, rules: [{{name: r, action: Allow, \
         principal: {{jwt: {{provider: a, {principal}}}}}}}]}}}}\n"
    )
}

/// Envoy Gateway has Envoy make a list of the texts of scope and scp.
#[test]
fn claims_of_words_in_envoy_gateway() {
    let requires = |principal: &str| {
        let made = converted(&policy(principal));
        let notes = told(&made, "SecurityPolicy p rule r");
        (made.configuration["rules"][0]["requires"].clone(), notes)
    };
    let (closed, notes) = requires("claims: [{name: scope, values: [read]}]");
    assert_eq!(closed["groups_none"], json!(["closed-by-convert"]));
    assert!(notes.iter().any(|(note, _)| note.contains("valueType: StringArray")), "{notes:?}");
    let list = "claims: [{name: scope, valueType: StringArray, values: [read]}]";
    assert_eq!(requires(list).0["scopes_any"], json!(["read"]));
    let (requires_scp, notes) = requires(&list.replace("scope", "scp"));
    assert_eq!(requires_scp["claims"], json!({"scp": {"contains": ["read"]}}));
    assert!(notes[0].0.contains("scp must be a list"), "{notes:?}");
    let (_, notes) = requires("scopes: [read]");
    assert!(notes[0].0.contains("a token with scp instead"), "{notes:?}");
}

/// Istio makes lists of the texts of permission and of what the rule names.
#[test]
fn claims_of_words_in_istio() {
    let text = |claim: &str, values: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: a}}\n\
             spec: {{jwtRules: [{{issuer: 'https://a.example', jwksUri: 'https://a.example/k', \
             spaceDelimitedClaims: [teams]}}]}}\n---\napiVersion: security.istio.io/v1\n\
             kind: AuthorizationPolicy\nmetadata: {{name: a}}\nspec: {{rules: [{{when: [{{key: \
             'request.auth.claims[{claim}]', values: [{values}]}}]}}]}}\n"
        )
    };
    for (claim, are_words) in [("teams", true), ("permission", true), ("role", false)] {
        let made = converted(&text(claim, "x, 'x y'"));
        let values = if are_words { json!(["x"]) } else { json!(["x", "x y"]) };
        assert_eq!(made.configuration["rules"][0]["requires"]["claims"][claim], values, "{claim}");
        let start = format!("AuthorizationPolicy a rules[0]: takes the text of the claim {claim}");
        assert_eq!(told(&made, &start).len(), usize::from(are_words), "{claim}");
    }
}
