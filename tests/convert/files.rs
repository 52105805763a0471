//! Files as they are written by hand, and what is told of them.

use gatepass_cli::convert::{Converted, Selection, convert};
use serde_json::{Value, json};

fn converted(text: &str) -> Converted {
    convert(text, &Selection::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn error(text: &str) -> String {
    match convert(text, &Selection::default()) {
        Err(error) => error.to_string(),
        Ok(converted) => panic!("converted: {}\n{text}", converted.configuration),
    }
}

fn changes(converted: &Converted) -> Vec<String> {
    let changes = converted.notes.iter().filter(|note| note.is_change);
    changes.map(ToString::to_string).collect()
}

/// Envoy's filter with these rules, and providers `a` and `b`.
fn envoy(rules: &str) -> String {
    let provider = |name: &str| {
        format!(
            "{{issuer: 'https://{name}.example', audiences: [api], remote_jwks: {{http_uri: \
             {{uri: 'https://{name}.example/keys?v=2', cluster: {name}, timeout: 2.5s}}, \
             cache_duration: {{seconds: 300}}}}}}"
        )
    };
    format!("providers: {{a: {}, b: {}}}\nrules:\n{rules}", provider("a"), provider("b"))
}

#[test]
fn envoys_filter_alone() {
    let made = converted(&envoy(
        "- {match: {path: /health}}\n\
         - {match: {prefix: /admin}, requires: {provider_and_audiences: {provider_name: a, audiences: [admin]}}}\n\
         - {match: {prefix: /}, requires: {requires_any: {requirements: [{provider_name: a}, {provider_name: b}]}}}",
    ));
    assert_eq!(changes(&made), <[String; 0]>::default());
    let configuration = &made.configuration;
    assert_eq!(
        configuration["services"]["a-example"],
        json!({"upstream": "a", "authority": "a.example", "scheme": "https", "timeout_ms": 2500})
    );
    assert_eq!(
        configuration["providers"]["a"],
        json!({
            "issuer": "https://a.example", "audiences": ["admin", "api"],
            "remote_jwks": {"service": "a-example", "path": "/keys?v=2", "cache_seconds": 300},
        })
    );
    assert_eq!(configuration["token"], json!({"from_params": ["access_token"]}));
    assert_eq!(configuration["bypass_cors_preflight"], json!(false));
    let rules = configuration["rules"].as_array().unwrap();
    assert_eq!(rules[0], json!({"match": {"path": "/health"}, "bypass": true}));
    assert_eq!(
        rules[1],
        json!({"match": {"path_starts_with": "/admin"},
               "requires": {"providers": ["a"], "audiences": ["admin"]}})
    );
    assert_eq!(
        rules[2],
        json!({"match": {}, "requires": {"providers": ["a", "b"], "audiences": ["api"]}})
    );
    assert_eq!(made.rule_places[1], "rules[1]");
}

/// One rule cannot ask one provider for one audience and another for another.
#[test]
fn what_one_rule_cannot_say_passes_for_fewer() {
    let one = |name: &str, audience: &str| {
        format!("provider_and_audiences: {{provider_name: {name}, audiences: [{audience}]}}")
    };
    let made = converted(&envoy(&format!(
        "- {{match: {{prefix: /x}}, requires: {{{}}}}}\n\
         - {{match: {{prefix: /}}, requires: {{requires_any: {{requirements: [{{provider_name: a}}, {{{}}}]}}}}}}",
        one("a", "x"),
        one("b", "x"),
    )));
    assert_eq!(
        changes(&made),
        [
            "rules[1]: one rule cannot require other audiences of each provider: fewer tokens pass of b"
        ]
    );
    let last = made.configuration["rules"][1].clone();
    assert_eq!(last["requires"], json!({"providers": ["a"], "audiences": ["api"]}));
}

/// A token's audiences are several: one that its provider accepts for another rule does
/// not go with one that the rule has for another provider.
#[test]
fn audiences_of_two_providers_do_not_add_up() {
    let provider = |name: &str, audience: &str| {
        let keys = "local_jwks: {inline_string: '{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \
                    \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}'}";
        format!("{name}: {{issuer: 'https://{name}.example', audiences: ['{audience}'], {keys}}}")
    };
    let made = converted(&format!(
        "providers: {{{}, {}}}\nrules:\n\
         - {{match: {{prefix: /z}}, requires: {{provider_and_audiences: {{provider_name: a, audiences: [z]}}}}}}\n\
         - {{match: {{prefix: /}}, requires: {{requires_any: {{requirements: [{{provider_name: a}}, {{provider_name: b}}]}}}}}}",
        provider("a", "x"),
        provider("b", "y"),
    ));
    let last = &made.configuration["rules"][1];
    assert_eq!(last["requires"], json!({"providers": ["b"]}));
    assert!(changes(&made)[0].ends_with("fewer tokens pass of a"));
}

#[test]
fn what_envoy_has_and_rules_have_not() {
    let rule = "- {match: {prefix: /}, requires: {provider_name: a}}";
    for (case, text, expected) in [
        (
            "a provider without an issuer",
            envoy(rule).replace("issuer: 'https://b.example', ", ""),
            "provider b: is left out, with all its tokens: it has no issuer",
        ),
        (
            "keys in a file",
            envoy(rule).replacen("remote_jwks: {http_uri: {uri: 'https://b.example/keys?v=2', \
                cluster: b, timeout: 2.5s}, cache_duration: {seconds: 300}}",
                "local_jwks: {filename: /etc/keys}", 1),
            "provider b: is left out, with all its tokens: its keys are not in this file",
        ),
        (
            "two tokens",
            envoy("- {match: {prefix: /}, requires: {requires_all: {requirements: [{provider_name: a}, {provider_name: b}]}}}"),
            "rules[0]: requires two tokens in one request",
        ),
        (
            "one token that would have to be two",
            envoy("- {match: {prefix: /}, requires: {requires_all: {requirements: [\
                   {requires_any: {requirements: [{allow_missing: {}}, {provider_name: b}]}}, \
                   {provider_and_audiences: {provider_name: b, audiences: [x]}}]}}}"),
            "rules[0]: requires two tokens in one request",
        ),
        (
            "tokens elsewhere",
            envoy(rule).replace("issuer: 'https://b.example'", "issuer: 'https://b.example', from_headers: [{name: x-b}]"),
            "provider b: is left out, with all its tokens: its tokens are elsewhere",
        ),
        (
            "hosts",
            envoy("- {match: {prefix: /, headers: [{name: ':authority', exact_match: a.example}]}}"),
            "rules: hosts are compared without their port",
        ),
        (
            "a lifetime of a part of a second",
            envoy(rule).replacen("audiences: [api]", "audiences: [api], max_lifetime: 0.5s", 1),
            "provider a: is left out, with all its tokens: a max_lifetime below one second",
        ),
        (
            "the payload in a header",
            envoy(rule).replace("audiences: [api]", "audiences: [api], forward_payload_header: x-p"),
            "provider a: forward_payload_header is not supported",
        ),
        (
            "a header that proxies own",
            envoy(rule).replace("audiences: [api]", "audiences: [api], claim_to_headers: [{header_name: x-forwarded-for, claim_name: ip}]"),
            "provider a: the header x-forwarded-for with the claim \"ip\" cannot be sent",
        ),
        (
            "a state of another filter",
            format!("{}\nfilter_state_rules: {{name: x}}", envoy("- {match: {prefix: /a}}")),
            "rules: filter_state_rules are not carried over",
        ),
    ] {
        let made = converted(&text);
        let told = changes(&made);
        assert!(told.iter().any(|note| note.starts_with(expected)), "{case}: {told:#?}");
    }
}

#[test]
fn what_is_refused() {
    let rule = "- {match: {prefix: /}, requires: {provider_name: a}}";
    let istio = |namespace: &str| {
        format!(
            "{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: r, \
             namespace: {namespace}}}, spec: {{jwtRules: [{{issuer: 'https://a.example'}}]}}}}"
        )
    };
    for (case, text, expected) in [
        ("nothing", "a: 1".to_owned(), "nothing to convert"),
        (
            "manifests of Kong",
            "{apiVersion: configuration.konghq.com/v1, kind: KongPlugin, plugin: openid-connect}"
                .to_owned(),
            "without Ingresses, HTTPRoutes or KongConsumers",
        ),
        (
            "a policy without issuers",
            "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, \
             spec: {rules: [{}]}}"
                .to_owned(),
            "RequestAuthentication: there is none in the file",
        ),
        (
            "a field that may be a condition",
            envoy("- {match: {prefix: /, on_mondays: true}}"),
            "$.rules[0].match.on_mondays: found an unknown field",
        ),
        (
            "a requirement of a route",
            format!(
                "a: {{typed_per_filter_config: {{envoy.filters.http.jwt_authn: {{requirement_name: x}}}}}}\n\
                     b: {{'@type': x.JwtAuthentication, {}}}",
                "providers: {}, rules: []"
            ),
            "a requirement of one route, which counts instead of the rules",
        ),
        (
            "a requirement of a route, by a name of its own",
            format!(
                "a: {{typed_per_filter_config: {{login: {{'@type': \
                 type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig, \
                 requirement_name: x}}}}}}\nb: {{'@type': x.JwtAuthentication, {}}}",
                "providers: {}, rules: []"
            ),
            "a requirement of one route, which counts instead of the rules",
        ),
        (
            "a requirement of a route in a ConfigMap",
            "kind: ConfigMap\ndata:\n  envoy.yaml: |\n    a: {typed_per_filter_config: \
             {envoy.filters.http.jwt_authn: {requirement_name: x}}}\n    b: {'@type': \
             x.JwtAuthentication, providers: {}, rules: []}\n"
                .to_owned(),
            "a requirement of one route, which counts instead of the rules",
        ),
        (
            "requirements of routes that are elsewhere",
            format!("{}\nrequirement_map: {{x: {{provider_name: a}}}}", envoy(rule)),
            "$.requirement_map.x: found the requirement \"x\", which no rule names",
        ),
        (
            "two filters",
            "a:\n- {'@type': x.JwtAuthentication, rules: [{match: {prefix: /}}]}\n\
             - {'@type': x.JwtAuthentication}"
                .to_owned(),
            "choose with --only among $.a[0], $.a[1]",
        ),
        (
            "two workloads",
            format!("{}\n---\n{}", istio("a"), istio("b")),
            "choose with --only among a/r, b/r",
        ),
        (
            "no keys at all",
            envoy(rule).replace("issuer: 'https://", "issuers: 'https://"),
            "issuers: found an unknown field",
        ),
        (
            "a path that Kong rewrites",
            "{_format_version: '1.1', routes: [{name: r, paths: [/a%20b]}]}".to_owned(),
            "$.routes[0].paths[0]: found \"/a%20b\" in a file of an old format",
        ),
    ] {
        let found = error(&text);
        assert!(found.contains(expected), "{case}: {found}");
    }
}

#[test]
fn old_formats_of_kong() {
    let text = |version: &str| {
        format!(
            "_format_version: {version}\nservices:\n- {{name: s, url: 'http://s', plugins: [{{name: jwt, run_on: first, \
             config: {{claims_to_verify: [exp]}}}}], routes: [{{name: r, paths: ['/a/(b|c)$', /d], \
             plugins: [{{name: acl, config: {{whitelist: [staff]}}}}]}}]}}\n\
             consumers:\n- {{username: alice, id: i, acls: [{{group: staff}}], jwt_secrets: [{{key: k, \
             secret: a-secret-of-at-least-thirty-two-bytes}}]}}"
        )
    };
    for version in ["'1.1'", "2.1", "\"2.1\""] {
        let made = converted(&text(version));
        let rules = made.configuration["rules"].as_array().unwrap();
        let staff = |rule: &&Value| rule["requires"]["groups_any"] == json!(["staff"]);
        assert_eq!(rules.iter().filter(staff).count(), rules.len(), "{version} {rules:#?}");
        let told = changes(&made);
        assert!(told.iter().any(|note| note.contains("a regular expression")), "{told:#?}");
    }
    assert!(error(&text("'3.0'")).contains("run_on: found an unknown field"));
    assert!(error(&text("'4.0'")).contains("_format_version is \"4.0\""));
}

#[test]
fn istio_as_in_its_documentation() {
    let text = "\
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  jwtRules:
  - {issuer: issuer-foo, jwksUri: 'https://foo.example/keys'}
  - {issuer: 'https://bar.example', forwardOriginalToken: true}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: httpbin, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  rules:
  - from: [{source: {requestPrincipals: ['issuer-foo/*']}}]
    to: [{operation: {hosts: [example.com, 'example.com:*']}}]
  - from: [{source: {requestPrincipals: ['https://bar.example/*']}}]
    to: [{operation: {hosts: [another-host.com]}}]
  - to: [{operation: {paths: [/healthz]}}]
";
    let made = converted(text);
    let rules = &made.configuration["rules"];
    assert_eq!(
        rules,
        &json!([
            {"match": {"path": "/healthz"}, "requires": {"allow_missing": true}},
            {"match": {"hosts": ["example.com"]}, "requires": {"providers": ["issuer-foo"]}},
            {"match": {}, "requires": {"groups_any": ["closed-by-convert"], "groups_none": ["closed-by-convert"]}},
        ])
    );
    // Of a host alone Istio refuses host:8080, which no rule can.
    let told = changes(&made);
    assert!(told.iter().any(|it| it.contains("compared without their port")), "{told:#?}");
    assert!(told.iter().any(|it| it.contains("what it allowed is now denied")), "{told:#?}");
    assert_eq!(
        made.configuration["providers"]["bar.example"]["discovery"],
        json!({"service": "bar-example", "path": "/.well-known/openid-configuration"})
    );
    let selected = |only: &str| {
        convert(text, &Selection { only: vec![only.to_owned()], ..Selection::default() })
    };
    assert!(selected("foo/httpbin").is_ok());
    assert!(selected("other").is_err());
}

#[test]
fn denials_with_exceptions() {
    let text = "\
{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: r}, spec: {jwtRules: [{issuer: 'https://a.example'}]}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p}, spec: {action: DENY, rules: [
  {from: [{source: {notRequestPrincipals: ['*']}}], to: [{operation: {notPaths: [/healthz, /public/*]}}]}]}}
";
    let made = converted(text);
    assert_eq!(changes(&made), <[String; 0]>::default());
    assert_eq!(
        made.configuration["rules"],
        json!([
            {"match": {"path": "/healthz"}, "requires": {"allow_missing": true}},
            {"match": {"path_starts_with": "/public/"}, "requires": {"allow_missing": true}},
            {"match": {}, "requires": {}},
        ])
    );
}

#[test]
fn denials_by_the_value_of_a_claim() {
    let wider = "now denies every token that has the claim, whatever its value";
    for (key, values, is_wider) in [
        ("claims[tier]", "values: [free]", true),
        ("claims[scope]", "values: [bad]", true),
        ("claims[tier]", "values: ['*', free]", true),
        ("claims[tier]", "values: ['*']", false),
        ("claims[tier]", "notValues: [gold]", false),
    ] {
        let made = converted(&format!(
            "\
{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: r}}, spec: {{jwtRules: [{{issuer: 'https://a.example'}}]}}}}
---
{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p}}, spec: {{action: DENY, rules: [
  {{when: [{{key: 'request.auth.{key}', {values}}}]}}]}}}}
"
        ));
        let is_told = changes(&made).iter().any(|it| it.contains(wider));
        assert_eq!(is_told, is_wider, "{key} {values}: {:#}", made.configuration);
    }
}

#[test]
fn keys_that_istio_waits_for() {
    let made = converted(
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: r}, spec: {jwtRules: [{issuer: 'https://a.example', jwksUri: 'https://a.example/keys', timeout: 2.5s}]}}",
    );
    assert_eq!(made.configuration["services"]["a-example"]["timeout_ms"], 2500);
}

/// A policy that only tries allows nothing, however its annotation says so.
#[test]
fn dry_runs() {
    for dry in ["true", "TRUE", "True", "t", "T", "1"] {
        let made = converted(&format!(
            "{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: r}}, spec: {{jwtRules: [{{issuer: 'https://a.example'}}]}}}}
---
{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p}}, spec: {{rules: [{{to: [{{operation: {{paths: [/a]}}}}]}}]}}}}
---
{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: q, annotations: {{istio.io/dry-run: '{dry}'}}}}, spec: {{rules: [{{}}]}}}}
"
        ));
        let rules = made.configuration["rules"].to_string();
        assert!(rules.contains("closed-by-convert"), "{dry}: {rules}");
        assert!(!rules.contains(r#""match":{},"requires":{"allow_missing""#), "{dry}: {rules}");
    }
}

/// What the policy is merged with may ask for more.
#[test]
fn a_merged_policy() {
    let made = converted(
        "{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: SecurityPolicy, metadata: {name: p}, spec: {mergeType: StrategicMerge, jwt: {providers: [{name: a, issuer: 'https://a.example', remoteJWKS: {uri: 'https://a.example/keys'}}]}}}",
    );
    assert!(changes(&made).iter().any(|note| note.contains("its mergeType is not carried over")));
    let rules = made.configuration["rules"].to_string();
    assert!(rules.contains("closed-by-convert"), "{rules}");
}

/// What another kind of value comes of is told: no number or boolean was meant.
#[test]
fn a_text_without_quotes_is_told() {
    let file = "providers: {a: {issuer: 'https://a.example', audiences: [y], local_jwks: \
                {inline_string: '{\"keys\": []}'}}}\n\
                rules: [{match: {prefix: /}, requires: {provider_name: a}}]\n";
    let told = error(file);
    assert!(told.contains("audiences[0]: found true, accepted: a string"), "{told}");
    assert!(told.contains("it is a boolean to Envoy without quotes: quote it"), "{told}");
}
