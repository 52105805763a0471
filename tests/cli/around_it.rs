//! What is wrong beside the configuration: variables that a proxy does not hand out, clusters
//! without TLS, and words that YAML does not take for text.

use serde_json::json;

use crate::files::{OWN, envoy, indented, with};
use crate::support::{API_KEY, Desk, SIGNING_KEY, changed, configuration};

/// The variables of the whole proxy are not for configurations, whatever is set.
#[test]
fn variables_that_a_proxy_does_not_hand_out() {
    let desk = Desk::new();
    let own = configuration().to_string();
    desk.put(
        "kong.yml",
        &format!("_format_version: '3.0'\nplugins: [{{name: gatepass, config: {own}}}]"),
    );
    desk.put(
        "native.yaml",
        &format!(
            "dynamic_module_config: {{name: gatepass_envoy}}\nfilter_name: gatepass\n\
             filter_config: {own}"
        ),
    );
    desk.put(
        "filter.yml",
        &format!(
            "_format_version: '3.0'\nservices: [{{name: s, filter_chains: [{{filters: [{{name: \
             gatepass, config: {own}}}]}}]}}]"
        ),
    );
    let place = "identity_token.signing_keys[0].private_key: found {env: SIGNING_KEY}, which may \
                 not be read, accepted: a name that begins with GATEPASS_, or one that the variable \
                 GATEPASS_ENV";
    let set = [("SIGNING_KEY", SIGNING_KEY), ("API_KEY", API_KEY)];
    let listed = |list| [&set[..], &[("GATEPASS_ENV", list)]].concat();
    for file in ["kong.yml", "native.yaml"] {
        let run = desk.run_with(&["check", file], &set, "").ended(1);
        assert!(run.out.contains(place), "{run:?}");
        assert!(run.out.contains("found {env: API_KEY}, which may not be read"), "{run:?}");
        assert!(!run.out.contains(SIGNING_KEY) && !run.out.contains(API_KEY), "{run:?}");
        let run = desk.run_with(&["check", file], &listed("API_KEY"), "").ended(1);
        assert!(run.out.contains(place) && !run.out.contains("{env: API_KEY}"), "{run:?}");
        let run = desk.run_with(&["check", file], &listed("API_KEY, SIGNING_KEY"), "").ended(0);
        assert_eq!(run.out.lines().count(), 1, "{run:?}");
        // Once, and as what is to be done first.
        let run = desk.run_with(&["check", file], &[], "").ended(1);
        assert!(run.out.contains(place) && !run.out.contains("not set"), "{run:?}");
        // Elsewhere the list may be another one.
        let run = desk.run_with(&["check", "--no-env", file], &[], "").ended(0);
        let told =
            "the proxy refuses {env: SIGNING_KEY}, unless its own variable GATEPASS_ENV lists";
        assert!(run.out.contains(told), "{run:?}");
        assert_eq!(
            run.out.contains("nginx_main_env passes that on"),
            file == "kong.yml",
            "{run:?}"
        );
        assert!(run.out.contains("with GATEPASS_ENV set here as it is there"), "{run:?}");
        let own = [("GATEPASS_ENV", "API_KEY,SIGNING_KEY")];
        let run = desk.run_with(&["check", "--no-env", file], &own, "").ended(0);
        assert_eq!(run.out.lines().count(), 1, "{run:?}");
    }
    let run = desk.run_with(&["check", "filter.yml"], &set, "").ended(0);
    assert_eq!(run.out.lines().count(), 1, "{run:?}");
    let key = json!([{"algorithm": "ES256", "private_key": {"env": "GATEPASS_KEY"}}]);
    let own = changed([("/identity_token/signing_keys", key), ("/user_info/headers", json!({}))]);
    desk.put("own.yaml", &own.to_string());
    let run = ["check", "--host", "kong", "own.yaml"];
    desk.run_with(&run, &[("GATEPASS_KEY", SIGNING_KEY)], "").ended(0);
}

/// The field that passes variables on is that of the host, wherever its file is.
#[test]
fn variables_that_a_file_does_not_pass_on() {
    const GATEWAYS: &str = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nspec:\n  \
                            wasm:\n  - name: gatepass\n    env: {hostKeys: [OTHER]}\n    config:\n";
    const ISTIOS: &str = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: \
                          oci://r/gatepass:1\n  phase: AUTHN\n  vmConfig: {env: [{name: OTHER}]}\n  \
                          pluginConfig:\n";
    let desk = Desk::new();
    let envoys = with(&envoy(), "host_env_keys: [SIGNING_KEY]", "host_env_keys: [OTHER]");
    for (host, file, field) in [
        ("Envoy", envoys, "vm_config.environment_variables.host_env_keys"),
        ("Istio", format!("{ISTIOS}{}", indented(OWN, 4)), "vmConfig.env"),
        ("Envoy Gateway", format!("{GATEWAYS}{}", indented(OWN, 6)), "env.hostKeys"),
    ] {
        for name in ["configuration", "pluginConfig", "a"] {
            let within = format!("kind: ConfigMap\ndata:\n  {name}: |\n{}", indented(&file, 4));
            desk.put("map.yaml", &within);
            let run = desk.run(&["check", "--no-env", "map.yaml"]).ended(1);
            let told = format!(
                "found {{env: SIGNING_KEY}}, which the filter cannot see, accepted: a variable that \
                 the host's file passes on: {field}\n"
            );
            assert!(run.out.contains(&told), "{host} in {name}: {run:?}");
        }
    }
}

/// What a variable that is missing may be missing from.
#[test]
fn a_variable_that_is_not_there_or_empty() {
    let desk = Desk::new();
    desk.put("own.yaml", OWN);
    let run = desk.run_with(&["check", "own.yaml"], &[], "").ended(1);
    for told in ["which is not set", "host_env_keys in Envoy", "nginx_main_env in Kong"] {
        assert!(run.out.contains(told), "{told}: {run:?}");
    }
    for empty in ["", "\n"] {
        let run = desk.run_with(&["check", "own.yaml"], &[("SIGNING_KEY", empty)], "").ended(1);
        assert!(run.out.contains("found {env: SIGNING_KEY}, which is empty"), "{run:?}");
    }
}

/// `auth` of a file for Envoy, whose service is `{upstream: auth, ...}` with `more`.
fn with_cluster(more: &str, socket: &str) -> String {
    let service = "auth: {upstream: auth, authority: auth.internal}";
    let envoy = with(&envoy(), service, &format!("auth: {{upstream: auth{more}}}"));
    with(&envoy, "  - name: auth\n", &format!("  - name: auth\n{socket}"))
}

/// The transport socket of a cluster, with what its context has.
fn tls(context: &str) -> String {
    format!(
        "    transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config: \
         {{\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, \
         sni: auth.example{context}}}\n"
    )
}

/// Where a cluster's servers are.
const BY_NAME: &str = "    type: STRICT_DNS\n    load_assignment: {endpoints: [{lb_endpoints: [{endpoint: \
                       {address: {socket_address: {address: auth.internal, port_value: 443}}}}]}]}\n";

#[test]
fn clusters_that_are_not_as_safe_as_they_look() {
    let desk = Desk::new();
    let https = ", authority: auth.example, scheme: https";
    let validation = |context: &str| {
        tls(&format!(", common_tls_context: {{validation_context: {{{context}}}}}"))
    };
    let ca = "trusted_ca: {filename: /ca.crt}";
    let san = "match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: auth.example}}]";
    let plain = "services.auth.scheme: the cluster \"auth\" has no transport_socket";
    let any = "clusters[0].transport_socket: Envoy accepts every certificate here";
    let any_of =
        "clusters[0].transport_socket: Envoy accepts every certificate of these authorities";
    let host = "services.auth: without authority, Host is \"auth\"";
    let names = |matchers: &[&str]| {
        let typed = |it: &&str| format!("{{san_type: DNS, matcher: {{{it}}}}}");
        let typed = matchers.iter().map(typed).collect::<Vec<_>>().join(", ");
        validation(&format!("{ca}, match_typed_subject_alt_names: [{typed}]"))
    };
    let nameless = |sni: &str, more: &str| {
        let socket = validation(&format!("{ca}, {san}"));
        format!("{}{more}{BY_NAME}", with(&socket, ", sni: auth.example", sni))
    };
    let sni = "clusters[0].transport_socket: Envoy sends no server name (SNI) in the TLS handshake \
               here, and a server of several names answers with the certificate of another, or not \
               at all: set sni: auth.internal";
    let sds = "{name: ca, sds_config: {ads: {}}}";
    let raw = "    transport_socket: {name: envoy.transport_sockets.raw_buffer}\n";
    let options = "    typed_extension_protocol_options: {http: {upstream_http_protocol_options: \
                   {auto_san_validation: true}}}\n";
    for (case, more, socket, told) in [
        ("https without TLS", https, String::new(), plain),
        ("https with a plain socket", https, raw.to_owned(), plain),
        ("http without TLS", ", authority: a.example", String::new(), ""),
        ("another kind of socket", https, raw.replace("raw_buffer", "alts"), ""),
        ("no validation", https, tls(""), any),
        ("nothing to validate by", https, validation(""), any),
        (
            "what is accepted anyway",
            https,
            validation(&format!("{ca}, {san}, trust_chain_verification: ACCEPT_UNTRUSTED")),
            any,
        ),
        ("any name", https, validation(ca), any_of),
        ("a name", https, validation(&format!("{ca}, {san}")), ""),
        (
            "an empty list of names",
            https,
            validation(&format!("{ca}, match_typed_subject_alt_names: []")),
            any_of,
        ),
        ("a hash", https, validation("verify_certificate_hash: [aa]"), ""),
        ("the name by the cluster", https, format!("{}{options}", validation(ca)), ""),
        (
            "the name by sni",
            https,
            tls(&format!(
                ", auto_sni_san_validation: true, common_tls_context: {{validation_context: {{{ca}}}}}"
            )),
            "",
        ),
        (
            "from elsewhere",
            https,
            tls(&format!(", common_tls_context: {{validation_context_sds_secret_config: {sds}}}")),
            "",
        ),
        (
            "both",
            https,
            tls(&format!(
                ", common_tls_context: {{combined_validation_context: {{default_validation_context: {{}}, validation_context_sds_secret_config: {sds}}}}}"
            )),
            "",
        ),
        (
            "one of many",
            https,
            names(&["exact: auth.example", "safe_regex: {regex: '.*'}"]),
            any_of,
        ),
        ("any text", https, names(&["safe_regex: {regex: '^[^ ]+\\..{1,9}$'}"]), any_of),
        ("any beginning", https, names(&["prefix: ''"]), any_of),
        ("any part", https, names(&["contains: ''"]), any_of),
        ("a beginning", https, names(&["prefix: 'spiffe://shop/'"]), ""),
        ("some texts", https, names(&["safe_regex: {regex: '[a-z]+\\.example'}"]), ""),
        (
            "any text, as it was written before",
            https,
            validation(&format!("{ca}, match_subject_alt_names: [{{safe_regex: {{regex: .+}}}}]")),
            any_of,
        ),
        ("no authority", ", scheme: https", validation(&format!("{ca}, {san}")), host),
        ("no name for the server", https, nameless("", ""), sni),
        ("an empty one", https, nameless(", sni: ''", ""), sni),
        ("one by the host's name", https, nameless(", auto_host_sni: true", ""), ""),
        (
            "servers without names",
            https,
            nameless("", "").replace("address: auth.internal", "address: 192.0.2.1"),
            "",
        ),
        ("servers from elsewhere", https, nameless("", "").replace("STRICT_DNS", "EDS"), ""),
        (
            "one by the cluster",
            https,
            nameless("", &options.replace("auto_san_validation", "auto_sni")),
            "",
        ),
    ] {
        desk.put("envoy.yaml", &with_cluster(more, &socket));
        let run = desk.run(&["check", "envoy.yaml"]).ended(0);
        assert_eq!(run.out.lines().count(), if told.is_empty() { 1 } else { 2 }, "{case}: {run:?}");
        assert!(run.out.contains(told), "{case}: {run:?}");
    }
}

#[test]
fn words_of_yaml_around_the_configuration() {
    let desk = Desk::new();
    let cluster = "  - name: shop\n";
    for (case, file, told) in [
        (
            "an id",
            format!("node: {{id: n, cluster: c}}\n{}", envoy()),
            ":1: warning: node.id: n without quotes is false to Envoy",
        ),
        ("an id in quotes", format!("node: {{id: \"n\", cluster: c}}\n{}", envoy()), ""),
        (
            "a domain",
            with(&envoy(), "domains: [\"*\"]", "domains: [no]"),
            "virtual_hosts[0].domains[0]: no without quotes is false to Envoy",
        ),
        (
            "a field that is a flag",
            with(&envoy(), cluster, &format!("{cluster}    respect_dns_ttl: yes\n")),
            "",
        ),
    ] {
        desk.put("envoy.yaml", &file);
        let run = desk.run(&["check", "envoy.yaml"]).ended(0);
        assert_eq!(run.out.lines().count(), if told.is_empty() { 1 } else { 2 }, "{case}: {run:?}");
        assert!(run.out.contains(told), "{case}: {run:?}");
    }
    let kong = format!(
        "_format_version: '3.0'\nplugins:\n- name: gatepass\n  config:\n{}- name: gatepass\n  route: off\n  \
         config:\n{}services: [{{name: y, url: http://a}}]\n",
        indented(OWN, 4).replace("upstream: auth,", "upstream: 'auth:80',"),
        indented(OWN, 4).replace("upstream: auth,", "upstream: 'auth:80',")
    );
    desk.put("kong.yml", &kong);
    let run = desk.run(&["check", "kong.yml"]).ended(0);
    let told = "services[0].name: y without quotes is ";
    assert_eq!(run.out.matches(told).count(), 1, "once for the file: {run:?}");
}

#[test]
fn headers_that_no_service_gets() {
    let desk = Desk::new();
    let header = |claim: serde_json::Value| {
        changed([("/claim_to_headers", json!([{"header": "x-a", "claim": claim}]))])
    };
    let no = "claim_to_headers[0].claim: no identity token has the claim";
    let meant = "claim_to_headers[0].claim: did you mean country? no identity token has the claim";
    for (claim, told) in [
        (json!("plan"), no),
        (json!("contry"), meant),
        (json!(["contry"]), meant),
        (json!("/contry/code"), meant.split("did").next().unwrap()),
        (json!("country"), ""),
        (json!(["country", "code"]), ""),
        (json!("country.code"), "the claim \"country.code\" can mean two things"),
        (json!("sub"), ""),
        (json!(["consumer", "username"]), ""),
        // Only removed from clients' requests.
        (json!("removed-by-convert"), ""),
    ] {
        desk.put("own.yaml", &header(claim.clone()).to_string());
        let run = desk.run(&["check", "own.yaml"]).ended(0);
        assert!(run.out.contains(told), "{claim}: {run:?}");
        let is_told = run.out.contains("no identity token has");
        assert_eq!(
            is_told,
            !told.is_empty() && told != "the claim \"country.code\" can mean two things",
            "{claim}: {run:?}"
        );
    }
    let mut copied = header(json!("a.b"));
    copied["identity_token"]["claims"]["copy"] = json!(["a.b"]);
    desk.put("own.yaml", &copied.to_string());
    let run = desk.run(&["check", "own.yaml"]).ended(0);
    assert!(!run.out.contains("no identity token has"), "{run:?}");
}

#[test]
fn basic_credentials_of_clients_where_the_identity_takes_their_place() {
    let desk = Desk::new();
    let bearer = json!({"name": "Authorization", "value_prefix": "Bearer "});
    let bypass = json!({"match": {"path": "/token"}, "bypass": true});
    let rule = |header| json!({"match": {"path": "/mcp"}, "identity": {"header": header}});
    let told = "Authorization is removed from every request, Basic too";
    for (case, rules, path) in [
        ("of one rule", json!([bypass, rule(bearer)]), "rules[1].identity.header"),
        ("another header", json!([bypass, rule(json!("x-identity"))]), ""),
        (
            "nothing bypasses",
            json!([rule(json!({"name": "authorization", "value_prefix": "Bearer "}))]),
            "",
        ),
    ] {
        desk.put("own.yaml", &changed([("/rules", rules)]).to_string());
        let run = desk.run(&["check", "own.yaml"]).ended(0);
        assert_eq!(run.out.contains(told), !path.is_empty(), "{case}: {run:?}");
        assert!(run.out.contains(path), "{case}: {run:?}");
    }
}

#[test]
fn secrets_with_a_line_break_at_their_end() {
    let desk = Desk::new();
    let own = |secret: &str| {
        let mut own = configuration();
        own["providers"]["shop"]["introspection"] = json!({
            "service": "auth", "path": "/i", "client_id": "g", "jwts": false,
            "client_secret": secret,
        });
        own.to_string()
    };
    for (secret, told) in [("hunter2\n", true), ("hunter2", false)] {
        desk.put("own.yaml", &own(secret));
        let run = desk.run(&["check", "own.yaml"]).ended(0);
        let text = "introspection.client_secret: a line break at its end";
        assert_eq!(run.out.contains(text), told, "{run:?}");
        assert!(!run.out.contains("hunter2"), "{run:?}");
    }
}

/// What `explain` tells of a rule for other providers, and of a path that may be another's.
#[test]
fn what_a_rule_refuses_is_told() {
    let partner = json!({
        "issuer": "https://partner.example", "audiences": ["shop-api"],
        "remote_jwks": {"service": "auth", "path": "/partner.json"},
    });
    let mut own = changed([(
        "/rules",
        json!([{"match": {"path_prefix": "/partners"}, "requires": {"providers": ["partner"]}}]),
    )]);
    own["providers"]["partner"] = partner;
    own["identity_token"]["subject"] = json!("{provider}:{sub}");
    for entry in own["consumers"]["entries"].as_array_mut().unwrap() {
        entry["providers"] = json!(["shop", "partner"]);
    }
    let desk = Desk::furnished(&configuration());
    desk.put("gatepass.yaml", &own.to_string());
    let explain = |path: &str| {
        let fixed = ["explain", "-c", "gatepass.yaml", "--at", crate::support::LATER];
        let more = ["--jwks", "issuer.jwks", "--token", "alice.token", "--path", path];
        desk.run(&[&fixed[..], &more].concat())
    };
    let run = explain("/partners");
    assert!(run.out.contains("NO provider, by the rule, \"shop\" is not \"partner\""), "{run:?}");
    assert!(run.out.contains("the token's issuer is not one of those allowed here"), "{run:?}");
    let run = explain("/PARTNERS");
    let told = "another rule is for this path, if upper and lower case are the same";
    assert!(run.out.contains(told), "{run:?}");
    let run = explain("//partners");
    assert!(run.out.contains("the path holds an empty segment (//)"), "{run:?}");
}
