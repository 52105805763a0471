//! `check`, `schema` and `convert`.

use serde_json::{Value, json};

use crate::support::{API_KEY, Desk, SIGNING_KEY, changed, configuration};

#[test]
fn a_valid_configuration_in_every_form() {
    let desk = Desk::new();
    let own = configuration();
    let clusters = json!([{"name": "auth"}, {"name": "users"}]);
    let envoy = json!({"static_resources": {"clusters": clusters, "listeners": [{"filter": {"config": {
        "name": "gatepass", "failure_policy": "FAIL_RELOAD",
        "vm_config": {"vm_id": "gatepass",
            "environment_variables": {"host_env_keys": ["API_KEY"], "key_values": {"SIGNING_KEY": "x"}}},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": own},
    }}}]}});
    let own_in_istio = {
        let mut own = own.to_string();
        for name in ["auth", "users"] {
            let plain = format!("\"upstream\":\"{name}\"");
            own = own.replace(&plain, &format!("\"upstream\":\"outbound|80||{name}.shop\""));
        }
        serde_json::from_str::<Value>(&own).unwrap()
    };
    let kong = json!({"_format_version": "3.0", "services": [{"filter_chains": [{"filters": [
        {"name": "gatepass", "config": own.to_string()},
    ]}]}]});
    let istio = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "spec": {"url": "oci://r/gatepass:1", "pluginConfig": own_in_istio,
            "vmConfig": {"env": [{"name": "API_KEY"}, {"name": "SIGNING_KEY"}]}}});
    for (name, document, path, host) in [
        ("own.json", own.clone(), "$", "envoy"),
        (
            "envoy.json",
            envoy,
            "$.static_resources.listeners[0].filter.config.configuration.value",
            "envoy",
        ),
        ("kong.json", kong, "$.services[0].filter_chains[0].filters[0].config", "kong"),
        ("istio.json", istio, "$.spec.pluginConfig", "envoy"),
    ] {
        desk.put(name, &document.to_string());
        let run = desk.run(&["check", name, "--json"]).ended(0);
        let found = &run.json()["configurations"];
        assert_eq!(found.as_array().unwrap().len(), 1, "{name}");
        assert_eq!(found[0]["path"], path, "{name}");
        assert_eq!(found[0]["host"], host, "{name}");
        assert_eq!(found[0]["problems"], json!([]), "{name}");
        assert_eq!(found[0]["warnings"], json!([]), "{name}");
        let yaml = serde_norway::from_str::<serde_norway::Value>(&document.to_string()).unwrap();
        let yaml = serde_norway::to_string(&yaml).unwrap();
        desk.put("same.yaml", &yaml);
        assert_eq!(
            desk.run(&["check", "same.yaml"]).ended(0).out,
            format!("same.yaml: {path}: valid, for {host}\n")
        );
    }
}

/// A browser would be sent from the login page to the login page.
#[test]
fn a_login_page_that_needs_a_token_is_refused() {
    let desk = Desk::new();
    let closed = json!({"match": {"path": "/login"}});
    let open = json!({"match": {"path": "/login", "methods": ["GET"]}, "bypass": true});
    let posts = json!({"match": {"path": "/login", "methods": ["POST"]}, "bypass": true});
    let anonymous =
        json!({"match": {"path_prefix": "/login"}, "requires": {"allow_missing": true}});
    let staff = json!({"match": {"path": "/login", "hosts": ["staff.example"]}});
    let on_staff = json!({"match": {"path": "/login", "hosts": ["staff.example"]}, "bypass": true});
    let sealed = json!({"keys": ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="], "logins": [
        {"match": {"path": "/login", "methods": ["GET", "POST"]}, "service": "auth",
         "json": ["/token"]},
    ]});
    for (case, to, rules, more, expected) in [
        ("a bypass", "/login?app=1", json!([open]), json!({}), Ok("")),
        ("no rule", "/login", json!([]), json!({}), Err(())),
        ("a rule that asks", "/login", json!([closed]), json!({}), Err(())),
        ("another method", "/login", json!([posts]), json!({}), Err(())),
        ("too late", "/login", json!([closed, open]), json!({}), Err(())),
        ("for some host", "/login", json!([staff, open]), json!({}), Ok("")),
        ("on some host", "/login", json!([on_staff]), json!({}), Ok("")),
        ("anonymous", "/login", json!([anonymous]), json!({}), Ok("cookie has ended")),
        ("elsewhere", "https://login.example/login", json!([]), json!({}), Ok("")),
        ("a sealed login", "/login", json!([]), json!({ "sealed_tokens": sealed }), Ok("")),
    ] {
        let mut own = changed([("/rules", rules)]);
        own["errors"] = json!({ "login_redirect": { "to": to } });
        for (name, section) in more.as_object().unwrap() {
            own[name] = section.clone();
        }
        desk.put("own.json", &own.to_string());
        let run = desk.run(&["check", "own.json"]).ended(i32::from(expected.is_err()));
        let place = "errors.login_redirect.to: ";
        match expected {
            Ok("") => assert!(!run.out.contains(place), "{case}: {}", run.out),
            Ok(warning) => assert!(run.out.contains(warning), "{case}: {}", run.out),
            Err(()) => {
                let problem = format!("{place}found {to:?}, which needs a token itself");
                assert!(
                    run.out.contains(&format!("own.json:1: error: {problem}")),
                    "{case}: {}",
                    run.out
                );
            }
        }
    }
}

#[test]
fn every_problem_with_its_place() {
    let desk = Desk::new();
    let mut own = changed([
        ("/providers/shop/audiences", Value::Null),
        ("/identity_token/ttl_seconds", json!(0)),
        ("/identity_token/signing_keys/0/private_key", json!("hunter2")),
    ]);
    own["surplus"] = json!(1);
    desk.put(
        "kong.yml",
        &json!({"_format_version": "3.0", "plugins": [{"name": "gatepass", "config": own}]})
            .to_string(),
    );
    let run = desk.run(&["check", "kong.yml", "--json"]).ended(1);
    let found = &run.json()["configurations"][0];
    assert_eq!(found["valid"], false);
    let paths: Vec<_> = found["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    for below in [
        "providers.shop",
        "identity_token.ttl_seconds",
        "identity_token.signing_keys[0].private_key",
        "surplus",
    ] {
        let path = format!("$.plugins[0].config.{below}");
        assert!(paths.contains(&path.as_str()), "{path} in {paths:?}");
    }
    let text = desk.run(&["check", "kong.yml"]).ended(1);
    assert_eq!(text.out.lines().count(), paths.len());
    assert!(text.out.lines().all(|line| line.starts_with("kong.yml:1: error: ")), "{text:?}");
    assert!(!text.out.contains("hunter2") && !run.out.contains("hunter2"), "{text:?}");
}

#[test]
fn without_the_secrets() {
    let desk = Desk::new();
    let key =
        |algorithm: &str, name: &str| json!({"algorithm": algorithm, "private_key": {"env": name}});
    let own = changed([
        (
            "/identity_token/signing_keys",
            json!([key("ES256", "A"), key("EdDSA", "B"), key("RS256", "C"), key("ES256", "A")]),
        ),
        ("/providers/shop/remote_jwks", Value::Null),
        ("/providers/shop/algorithms", json!(["HS512"])),
        ("/providers/shop/local_jwks", json!({"keys": [{"kty": "oct", "k": {"env": "D"}}]})),
        (
            "/providers/shop/introspection",
            json!({"service": "auth", "path": "/i", "client_id": "g", "client_secret": {"env": "E"}}),
        ),
    ]);
    desk.put("own.json", &own.to_string());
    let missing = desk.run_with(&["check", "own.json"], &[], "").ended(1);
    assert!(missing.out.contains("found {env: API_KEY}, which is not set"), "{missing:?}");
    assert!(missing.err.contains("--no-env"), "{missing:?}");
    let run = desk.run_with(&["check", "--no-env", "own.json", "--json"], &[], "").ended(0);
    assert_eq!(run.json()["configurations"][0]["valid"], true);
    // No filter in Kong signs with RSA.
    let fixed = ["check", "--no-env", "own.json", "--host"];
    let run = desk.run_with(&[&fixed[..], &["kong-filter"]].concat(), &[], "").ended(1);
    assert!(run.out.contains("found RS256, with which nobody signs here"), "{run:?}");
    desk.run_with(&[&fixed[..], &["kong"]].concat(), &[], "").ended(0);
    // Nor are Kong's vaults here.
    let key = json!([{"algorithm": "ES256", "private_key": {"vault": "{vault://env/key}"}}]);
    desk.put("own.json", &changed([("/identity_token/signing_keys", key)]).to_string());
    desk.run_with(&["check", "--no-env", "own.json"], &[], "").ended(0);
    // Nor are the secrets that Envoy asks for.
    let sds = json!({"name": "key", "sds_config": {"ads": {}}});
    let key = json!([{"algorithm": "ES256", "private_key": {"sds": sds}}]);
    desk.put("own.json", &changed([("/identity_token/signing_keys", key)]).to_string());
    desk.run_with(&["check", "--no-env", "own.json"], &[], "").ended(0);
    // Those are nowhere but in the host, so the others may be here.
    let run = desk.run_with(&["check", "own.json"], &[("API_KEY", "hunter2")], "").ended(0);
    assert!(!run.out.contains("a private key in a file"), "{run:?}");
    let run =
        desk.run_with(&["check", "--host", "kong", "own.json"], &[("API_KEY", "a")], "").ended(1);
    assert!(run.out.contains("found an object with \"sds\""), "{run:?}");
    // What is wrong is still found.
    desk.put("own.json", &changed([("/user_info/service", json!("nobody"))]).to_string());
    desk.run_with(&["check", "--no-env", "own.json"], &[], "").ended(1);
}

#[test]
fn secrets_of_kongs_credentials_are_made_up_as_well() {
    let desk = Desk::new();
    let algorithms = ["ES256", "ES384", "ES512", "EdDSA", "RS256", "PS512"];
    let secrets = algorithms.iter().map(|algorithm| {
        json!({"key": algorithm, "algorithm": algorithm, "rsa_public_key": {"env": algorithm}})
    });
    let mut secrets: Vec<_> = secrets.collect();
    secrets.push(json!({"key": "HS512", "algorithm": "HS512", "secret": {"env": "S"}}));
    let own = json!({
        "providers": {"legacy": {"kind": "kong_jwt", "secret_is_base64": true}},
        "consumers": {"entries": [{"username": "acme", "jwt_secrets": secrets}]},
        "identity_token": configuration()["identity_token"],
    });
    desk.put("own.json", &own.to_string());
    let run = desk.run_with(&["check", "--no-env", "own.json"], &[], "").ended(0);
    assert_eq!(run.out, "own.json: $: valid, for envoy\n");
}

#[test]
fn variables_that_the_host_keeps_to_itself() {
    let desk = Desk::new();
    let envoy = |keys: Value, policy: &str| {
        json!({"config": {
            "name": "gatepass", "failure_policy": policy,
            "vm_config": {"environment_variables": {"host_env_keys": keys}},
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration()},
        }})
    };
    desk.put("envoy.json", &envoy(json!(["API_KEY"]), "FAIL_RELOAD").to_string());
    let run = desk.run(&["check", "envoy.json"]).ended(1);
    // The claim `env` of identity tokens is none.
    assert_eq!(run.out.lines().count(), 1, "{run:?}");
    assert!(
        run.out.starts_with(
            "envoy.json:1: error: identity_token.signing_keys[0].private_key: \
             found {env: SIGNING_KEY}, which the filter cannot see"
        ),
        "{run:?}"
    );
    desk.put("envoy.json", &envoy(json!(["API_KEY", "SIGNING_KEY"]), "FAIL_OPEN").to_string());
    let run = desk.run(&["check", "envoy.json"]).ended(0);
    assert!(run.out.contains("warning: failure_policy: every request passes"), "{run:?}");
    desk.run(&["check", "--strict", "envoy.json"]).ended(1);
}

#[test]
fn warnings() {
    let desk = Desk::new();
    let secret = json!({"keys": [{"kty": "oct", "k": "A".repeat(43)}]});
    let partner = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"], "max_lifetime_seconds": 60,
        "remote_jwks": {"service": "auth", "path": "/partner.json"},
    });
    for (case, own, path) in [
        (
            "no end",
            changed([("/providers/shop/max_lifetime_seconds", Value::Null)]),
            "$.providers.shop",
        ),
        (
            "a shared secret",
            changed([
                ("/providers/shop/remote_jwks", Value::Null),
                ("/providers/shop/local_jwks", secret),
                ("/providers/shop/algorithms", json!(["HS256"])),
            ]),
            "$.providers.shop.algorithms",
        ),
        (
            "any audience",
            changed([
                ("/providers/shop/audiences", Value::Null),
                ("/providers/shop/allow_any_audience", json!(true)),
            ]),
            "$.providers.shop.allow_any_audience",
        ),
        (
            "tokens in URLs",
            changed([("/token", json!({"from_params": ["t"]}))]),
            "$.token.from_params",
        ),
        ("forwarded tokens", changed([("/token", json!({"forward": true}))]), "$.token.forward"),
        (
            "a key in the file",
            changed([("/identity_token/signing_keys/0/private_key", json!(SIGNING_KEY))]),
            "$.identity_token.signing_keys[0].private_key",
        ),
        (
            "proofs for any host",
            changed([("/providers/shop/binding", json!({"dpop": {}}))]),
            "$.providers.shop.binding.dpop",
        ),
        (
            "certificates by anybody",
            changed([(
                "/providers/shop/binding",
                json!({"mtls": {"header": "client-cert", "from": ["0.0.0.0/0"]}}),
            )]),
            "$.providers.shop.binding.mtls.from",
        ),
        (
            "transactions of anybody",
            changed([
                ("/identity_token/header", Value::Null),
                ("/identity_token/profile", json!("txn_token")),
                ("/identity_token/scopes", json!(["orders"])),
                ("/identity_token/replace", json!({"from": ["10.0.0.0/8", "::/0"]})),
            ]),
            "$.identity_token.replace.from",
        ),
        (
            "events without an end",
            changed([
                ("/providers/shop/max_lifetime_seconds", Value::Null),
                (
                    "/revocation",
                    json!({"events": {"transmitters": [{
                        "issuer": "https://events.example", "audiences": ["gateway"],
                        "remote_jwks": {"service": "auth", "path": "/events.json"},
                    }]}}),
                ),
            ]),
            "$.revocation.events.transmitters[0]",
        ),
        (
            "nobody signs",
            changed([("/identity_token/signing_keys/0/retire_at", json!("2020-01-01T00:00:00Z"))]),
            "$.identity_token.signing_keys",
        ),
        (
            "a rule that is not reached",
            changed([("/rules/3", json!({"match": {"path": "/login/x"}, "requires": {}}))]),
            "$.rules[3]",
        ),
        (
            "a header that clients choose",
            changed([(
                "/rules/3",
                json!({"match": {"path": "/mcp", "headers": [{"name": "Mcp-Name", "value": "a"}]}}),
            )]),
            "$.rules[3].match.headers",
        ),
        (
            "bound tokens for clients that cannot show a key",
            changed([
                (
                    "/providers/shop/binding",
                    json!({"dpop": {"public_origin": "https://shop.example"}, "required": true}),
                ),
                ("/resources", json!([{"resource": "https://shop.example/mcp"}])),
            ]),
            "$.providers.shop.binding.required",
        ),
        (
            "whoever writes the scope revokes",
            changed([
                ("/providers/partner", partner),
                ("/consumers", Value::Null),
                ("/identity_token/subject", json!("{provider}:{sub}")),
                ("/user_info/path", json!("/users/{iss}/{sub}")),
                ("/revocation", json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}})),
            ]),
            "$.revocation.endpoint.requires",
        ),
    ] {
        desk.put("own.json", &own.to_string());
        let run = desk.run(&["check", "own.json", "--json"]).ended(0);
        let warnings = run.json()["configurations"][0]["warnings"].clone();
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{case}: {warnings}");
        assert_eq!(warnings[0]["path"], path, "{case}");
        desk.run(&["check", "own.json", "--strict"]).ended(1);
        for secret in [API_KEY, "jpsQnnGQmL"] {
            assert!(!run.out.contains(secret), "{case}");
        }
    }
}

/// What a host makes of a number is what is checked; JSON text keeps its own.
#[test]
fn numbers_as_hosts_hold_them() {
    let desk = Desk::new();
    let with = |number: &str| {
        let rules = json!([{"match": {}, "requires": {"claims": {"tenant": ["N"]}}}]);
        let own = changed([
            ("/rules", rules),
            ("/identity_token/claims/set", json!({"tenants": {"all": ["N"]}})),
        ]);
        own.to_string().replace("\"N\"", number)
    };
    for (number, yaml, text) in [
        ("9007199254740991", 0, 0),
        ("123456789012345", 0, 0),
        ("0.25", 0, 0),
        ("9007199254740992", 1, 1),
        ("9007199254740993", 1, 1),
        ("9999999999999999", 1, 1),
        ("12345678901234567", 1, 0),
        ("18446744073709551615", 1, 0),
        ("0.123456789012345678", 1, 1),
        ("1e15", 0, 1),
    ] {
        let own = with(number);
        let quoted = own.replace('\'', "''");
        let envoy = |typ: &str, value: &str| {
            format!(
                "vm_config: {{vm_id: gatepass, environment_variables: \
                 {{host_env_keys: [API_KEY, SIGNING_KEY]}}}}\nconfiguration: \
                 {{'@type': type.googleapis.com/google.protobuf.{typ}, value: {value}}}\n"
            )
        };
        for (host, name, file, ends) in [
            ("kong", "own.yaml", format!("# YAML\n{own}"), yaml),
            // To Envoy they are text, if they are no whole numbers of 32 bits.
            ("envoy", "own.yaml", format!("# YAML\n{own}"), 0),
            ("envoy", "envoy.yaml", envoy("Struct", &own), 0),
            ("envoy", "envoy.yaml", envoy("StringValue", &format!("'{quoted}'")), text),
            ("envoy", "own.json", own.clone(), text),
        ] {
            desk.put(name, &file);
            let run = desk.run(&["check", "--no-env", "--host", host, name]).ended(ends);
            let told = run.out.matches("a whole number below 2^53").count();
            assert_eq!(told, if ends == 0 { 0 } else { 2 }, "{number} in {name}: {}", run.out);
            let is_text =
                host == "envoy" && name.ends_with(".yaml") && !file.contains("StringValue");
            let warned = run.out.matches(&format!("is the text \"{number}\" to Envoy")).count();
            assert_eq!(warned, if is_text { 2 } else { 0 }, "{number} in {name}: {}", run.out);
        }
    }
}

/// Who loads the filter is in the file around its configuration, or not at all.
#[test]
fn streams_that_are_to_end_where_none_can() {
    let desk = Desk::new();
    let own = changed([("/limits", json!({"end_streams": true}))]);
    let native = format!(
        "dynamic_module_config: {{name: gatepass_envoy}}\nfilter_name: gatepass\nfilter_config: {own}"
    );
    let wasm = format!(
        "vm_config: {{vm_id: gatepass, environment_variables: {{host_env_keys: [API_KEY, \
         SIGNING_KEY]}}}}\nconfiguration: {own}"
    );
    let kong = format!("_format_version: '3.0'\nplugins: [{{name: gatepass, config: {own}}}]");
    let problem = "limits.end_streams: found true, accepted: false: only the native module";
    let warning = "warning: limits.end_streams: only the native module for Envoy";
    for (file, ends, problems, warnings) in
        [(native, 0, 0, 0), (wasm, 1, 1, 0), (kong, 1, 1, 0), (own.to_string(), 0, 0, 1)]
    {
        desk.put("file.yaml", &file);
        let run = desk.run(&["check", "--no-env", "file.yaml"]).ended(ends);
        let told = |text: &str| run.out.matches(text).count();
        assert_eq!((told(problem), told(warning)), (problems, warnings), "{file}: {}", run.out);
    }
}

/// Only the plugin for Kong can ask for Kong's consumers.
#[test]
fn kongs_consumers_where_there_are_none() {
    let desk = Desk::new();
    let own = changed([("/consumers", json!({"claim": ["azp"], "kong": "custom_id"}))]);
    let native = format!(
        "dynamic_module_config: {{name: gatepass_envoy}}\nfilter_name: gatepass\nfilter_config: {own}"
    );
    let kong = |place: &str, end: &str| {
        format!("_format_version: '3.0'\n{place}[{{name: gatepass, config: {own}}}]{end}")
    };
    let filter = kong("services: [{name: s, filter_chains: [{filters: ", "}]}]");
    for (file, ends) in [(native, 1), (filter, 1), (kong("plugins: ", ""), 0), (own.to_string(), 0)]
    {
        desk.put("file.yaml", &file);
        let run = desk.run(&["check", "--no-env", "file.yaml"]).ended(ends);
        let told = run.out.matches("only the plugin for Kong knows Kong's consumers").count();
        assert_eq!(told, usize::from(ends == 1), "{file}: {}", run.out);
    }
}

/// What signs an identity token depends on the door that the file is for.
#[test]
fn algorithms_of_signing_keys_where_somebody_signs_with_them() {
    let desk = Desk::new();
    for (algorithm, wasm_in_envoy, wasm_in_kong) in
        [("ES256", 0, 0), ("EdDSA", 0, 0), ("RS256", 0, 1), ("PS256", 1, 1), ("ES384", 1, 1)]
    {
        let key = json!([{"algorithm": algorithm, "private_key": {"env": "KEY"}}]);
        let own = changed([("/identity_token/signing_keys", key)]);
        let native = format!(
            "dynamic_module_config: {{name: gatepass_envoy}}\nfilter_name: gatepass\n\
             filter_config: {own}"
        );
        let wasm = format!(
            "vm_config: {{vm_id: gatepass, environment_variables: {{host_env_keys: [API_KEY, \
             KEY]}}}}\nconfiguration: {own}"
        );
        let kong = |place: &str, end: &str| {
            format!("_format_version: '3.0'\n{place}[{{name: gatepass, config: {own}}}]{end}")
        };
        let filter = kong("services: [{name: s, filter_chains: [{filters: ", "}]}]");
        for (file, ends) in [
            (native, 0),
            (wasm, wasm_in_envoy),
            (filter, wasm_in_kong),
            (kong("plugins: ", ""), 0),
            (own.to_string(), 0),
        ] {
            desk.put("file.yaml", &file);
            let run = desk.run(&["check", "--no-env", "file.yaml"]).ended(ends);
            let told = run.out.matches("with which nobody signs here").count();
            assert_eq!(told, usize::from(ends == 1), "{algorithm}, {file}: {}", run.out);
        }
    }
}

#[test]
fn the_shipped_examples_are_valid() {
    let root = env!("CARGO_WORKSPACE_DIR");
    let desk = Desk::new();
    for name in [
        "envoy/envoy.yaml",
        "envoy/envoy-native.yaml",
        "kong/kong.yml",
        "kong/plugin.yml",
        "examples/kubernetes/istio.yaml",
        "examples/kubernetes/envoy-gateway.yaml",
        "examples/kubernetes/envoy-gateway-backends.yaml",
        "examples/providers/keycloak.yaml",
    ] {
        let file = format!("{root}/{name}");
        desk.run_with(&["check", "--no-env", &file], &[], "").ended(0);
    }
}

#[test]
fn the_schema_takes_what_the_filter_takes() {
    let desk = Desk::new();
    let schema = desk.run(&["schema"]).ended(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).expect("a schema of its own kind");
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&configuration()));
    for (case, right) in [
        (
            "an algorithm of Envoy's",
            changed([("/identity_token/signing_keys/0/algorithm", json!("RS256"))]),
        ),
        ("cryptography of the host", changed([("/crypto", json!("host"))])),
    ] {
        assert!(validator.is_valid(&right), "{case}");
    }
    for (case, wrong) in [
        ("an unknown field", changed([("/surplus", json!(1))])),
        ("a number out of range", changed([("/identity_token/ttl_seconds", json!(0))])),
        ("a field missing", changed([("/identity_token/issuer", Value::Null)])),
    ] {
        assert!(!validator.is_valid(&wrong), "{case}");
    }
}

#[test]
fn a_kong_yml_is_converted() {
    let desk = Desk::new();
    let kong = |options: Value| {
        json!({
            "_format_version": "3.0",
            "services": [{"name": "shop", "url": "http://shop", "plugins": [{"name": "jwt", "config": options}],
                "routes": [{"name": "orders", "paths": ["/orders"]}]}],
            "consumers": [{"id": "a1", "username": "alice",
                "jwt_secrets": [{"key": "k1", "secret": "s".repeat(40)}]}],
        })
    };
    desk.put("kong.yml", &kong(json!({"claims_to_verify": ["exp"]})).to_string());
    let run = desk.run(&["convert", "kong.yml"]).ended(0);
    assert!(run.err.contains("kong.yml: identity_token: is new"), "{run:?}");
    desk.put("gatepass.yaml", &run.out);
    desk.run_with(&["check", "--no-env", "gatepass.yaml"], &[], "").ended(0);
    let json = desk.run(&["convert", "--json", "kong.yml"]).ended(0).json();
    let yaml: Value = serde_norway::from_str(&run.out).unwrap();
    assert_eq!(json["configuration"], yaml);
    let to_plugin = ["convert", "--to", "kong-plugin", "kong.yml"];
    let run = desk.run(&to_plugin).ended(0);
    let plugin: Value = serde_norway::from_str(&run.out).unwrap();
    assert_eq!(
        plugin,
        json!({"_format_version": "3.0", "plugins": [{"name": "gatepass", "config": yaml}]})
    );
    desk.put("plugin.yml", &run.out);
    let run = desk.run_with(&["check", "--no-env", "plugin.yml"], &[], "").ended(0);
    assert!(run.out.contains("valid, for kong"), "{run:?}");

    // A token of alice's gets through.
    let key = json!({"kty": "oct", "k": base64_of(&"s".repeat(40))}).to_string();
    desk.put("alice.jwk", &key);
    let token = desk.run(&["mint", "--key", "alice.jwk", "--claim", "iss=k1"]).ended(0).out;
    desk.put("token", &token);
    let run = desk.run_with(
        &[
            "explain",
            "-c",
            "gatepass.yaml",
            "--no-env",
            "--token",
            "token",
            "--path",
            "/orders",
            "--json",
        ],
        &[],
        "",
    );
    let run = run.ended(0).json();
    assert_eq!(run["set"]["x-consumer-username"], "alice");
    // The file with a secret in it is not told.
    assert!(!run.to_string().contains("ssss"));

    desk.put("kong.yml", &kong(json!({})).to_string());
    let run = desk.run(&["convert", "kong.yml"]).ended(3);
    assert!(run.err.contains("did not check exp"), "{run:?}");
    desk.put("kong.yml", r#"{"_format_version": "3.0"}"#);
    let run = desk.run(&["convert", "kong.yml"]).ended(1);
    assert_eq!(
        (run.out.as_str(), run.err.as_str()),
        ("", "kong.yml: no plugin that can be carried over is enabled\n")
    );
}

/// Names in a file stand in comments, which they must not end.
#[test]
fn names_stay_in_their_comments() {
    let desk = Desk::new();
    let name = "orders\nmode: shadow\nx";
    let kong = json!({
        "_format_version": "3.0",
        "services": [{"name": "shop", "url": "http://shop", "plugins": [{"name": "jwt"}],
            "routes": [{"name": name, "paths": ["/orders"], "protocols": ["https"]}]}],
        "consumers": [{"id": "a1", "username": "alice",
            "jwt_secrets": [{"key": "k1", "secret": "s".repeat(40)}]}],
    });
    desk.put("kong.yml", &kong.to_string());
    for to in ["configuration", "kong-plugin"] {
        let run = desk.run(&["convert", "--to", to, "kong.yml"]).ended(3);
        let yaml: Value = serde_norway::from_str(&run.out).unwrap();
        let own = yaml.pointer("/plugins/0/config").unwrap_or(&yaml);
        assert!(run.out.contains("# route orders\\nmode: shadow"), "{run:?}");
        assert_eq!(own["mode"], Value::Null, "{run:?}");
        assert!(own["rules"].is_array());
    }
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text)
}

/// One file that cannot be read hides nothing of the others.
#[test]
fn every_file_is_looked_at() {
    let desk = Desk::new();
    desk.put("good.json", &configuration().to_string());
    desk.put("bad.json", &changed([("/identity_token/ttl_seconds", json!(0))]).to_string());
    desk.put("service.yaml", "{apiVersion: v1, kind: Service}");
    let files = ["nowhere.yaml", "good.json", "service.yaml", "bad.json"];
    let run = desk.run(&[&["check"], &files[..]].concat()).ended(2);
    assert!(run.out.contains("good.json: $: valid, for envoy\n"), "{run:?}");
    assert!(run.out.contains("bad.json:1: error: identity_token.ttl_seconds: found 0"), "{run:?}");
    for told in ["nowhere.yaml: No such file", "service.yaml: no configuration found"] {
        assert!(run.err.contains(told), "{run:?}");
    }
    let json = desk.run(&[&["check", "--json"], &files[..]].concat()).ended(2).json();
    assert_eq!(json["configurations"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(json["failures"].as_array().unwrap().len(), 2, "{json}");
    let json = desk.run(&["check", "--json", "good.json"]).ended(0).json();
    assert_eq!(json["failures"], json!([]));
}

/// A host that lets requests pass is told of also while there are other mistakes.
#[test]
fn a_host_that_fails_open_is_told_of_first_of_all() {
    let desk = Desk::new();
    let wrong = changed([("/identity_token/ttl_seconds", json!(0))]);
    let istio = json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension",
        "spec": {"wasm": {"url": "oci://r/gatepass:1", "failStrategy": "FAIL_OPEN",
            "pluginConfig": wrong,
            "vmConfig": {"env": [{"name": "API_KEY"}, {"name": "SIGNING_KEY"}]}}}});
    desk.put("istio.json", &istio.to_string());
    let run = desk.run(&["check", "istio.json"]).ended(1);
    assert!(run.out.contains("warning: failStrategy: every request passes"), "{run:?}");
    assert!(run.out.contains("error: identity_token.ttl_seconds: found 0"));
}

#[test]
fn a_service_where_there_are_none() {
    let desk = Desk::new();
    desk.put("own.json", &changed([("/services", Value::Null)]).to_string());
    let run = desk.run(&["check", "own.json"]).ended(1);
    let told = "error: user_info.service: found \"users\", accepted: one of services, of which there are none";
    assert!(run.out.contains(told), "{run:?}");
}

#[test]
fn what_may_have_been_meant() {
    let desk = Desk::new();
    let mut own = configuration();
    own["rule"] = json!([]);
    desk.put("own.json", &own.to_string());
    let run = desk.run(&["check", "own.json"]).ended(1);
    let told = "own.json:1: error: rule: did you mean rules? found an unknown field, accepted: ";
    assert!(run.out.starts_with(told), "{run:?}");
    let json = desk.run(&["check", "own.json", "--json"]).ended(1).json();
    assert_eq!(json["configurations"][0]["problems"][0]["perhaps"], "rules");
}

#[test]
fn an_envoy_that_keeps_something_from_the_filter_is_found() {
    let desk = Desk::new();
    let envoy = |allowed: Value| {
        json!({"config": {
            "name": "gatepass", "vm_config": {"environment_variables":
                {"host_env_keys": ["API_KEY", "SIGNING_KEY"]}},
            "capability_restriction_config": {"allowed_capabilities": allowed},
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.Struct", "value": configuration()},
        }})
    };
    desk.put("some.json", &envoy(json!({"proxy_log": {}, "proxy_on_tick": {}})).to_string());
    let run = desk.run(&["check", "some.json", "--json"]).ended(1);
    let problem = &run.json()["configurations"][0]["problems"][0];
    let path = "$.config.capability_restriction_config.allowed_capabilities";
    assert_eq!(problem["path"], path);
    let found = problem["found"].as_str().unwrap();
    assert!(found.contains("proxy_on_request_headers"), "{found}");
    assert!(found.contains("proxy_get_property") && !found.contains("proxy_log"), "{found}");
    desk.put("none.json", &envoy(json!({})).to_string());
    desk.run(&["check", "none.json"]).ended(0);
}
