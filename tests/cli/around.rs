//! The file around a configuration: what the host refuses, where requests come past the
//! filter, and what it calls that is not there.

use crate::files::{OWN, envoy, indented, with};
use crate::support::Desk;

/// What was done to a file for Envoy, and what is told.
#[test]
fn a_file_for_envoy() {
    let desk = Desk::new();
    let envoy = envoy();
    let router = "          - name: envoy.filters.http.router\n";
    let configuration = "                configuration:\n";
    let whole = envoy.find(configuration).unwrap()..envoy.find(router).unwrap();
    let mut without = envoy.clone();
    without.replace_range(whole.clone(), "");
    let mut as_text = envoy.clone();
    let text = format!(
        "{configuration}                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n                  value: |\n{}",
        indented(OWN, 20)
    );
    as_text.replace_range(whole, &text);
    let off = "                route: {cluster: shop}\n                typed_per_filter_config:\n                  gatepass: {\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}\n";
    let revokes = "                    revocation: {endpoint: {requires: {scopes_all: [revoke]}}}\n                    rules:\n";
    let camel = [
        ("typed_config", "typedConfig"),
        ("vm_config", "vmConfig"),
        ("http_filters", "httpFilters"),
        ("failure_policy: FAIL_RELOAD", "failurePolicy: FAIL_OPEN"),
    ];
    let camel = camel.iter().fold(envoy.clone(), |text, (from, to)| text.replace(from, to));
    let config = envoy.find("              config:\n").unwrap()..envoy.find(router).unwrap();
    let mut typed_struct = envoy.clone();
    let below = format!(
        "              type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n              value:\n{}",
        indented(&envoy[config.clone()], 2)
    );
    typed_struct.replace_range(config, &below);
    let listener = |route: &str| {
        format!(
            "  - filter_chains:\n    - filters:\n      - typed_config:\n          stat_prefix: other\n          http_filters: [{{name: envoy.filters.http.router}}]\n          route_config: {{virtual_hosts: [{{routes: [{{match: {{prefix: /}}, {route}}}]}}]}}\n"
        )
    };
    let wasm = "envoy.extensions.filters.http.wasm.v3.Wasm";
    let typed_struct = with(&typed_struct, wasm, "xds.type.v3.TypedStruct");
    for (case, file, ends, told) in [
        ("nothing", envoy.clone(), 0, ""),
        (
            "no such cluster",
            with(&envoy, "  - name: auth\n", "  - name: auth_service\n"),
            1,
            ":26: error: services.auth.upstream: did you mean auth_service? found \"auth\", which is not a cluster of this file",
        ),
        (
            "another listener",
            with(
                &envoy,
                "  clusters:\n",
                &format!("{}  clusters:\n", listener("route: {cluster: shop}")),
            ),
            0,
            ":61: warning: listeners[1].filter_chains[0].filters[0].typed_config.http_filters: the filter is not in this list",
        ),
        (
            "another listener that only redirects",
            with(
                &envoy,
                "  clusters:\n",
                &format!("{}  clusters:\n", listener("redirect: {https_redirect: true}")),
            ),
            0,
            "",
        ),
        (
            "clients at the user service",
            with(&envoy, "route: {cluster: shop}", "route: {cluster: users}"),
            0,
            "routes[0].route.cluster: clients come to /users/ of the cluster \"users\" here, where \
             the gateway asks about users without a secret of its own: whoever may pass",
        ),
        (
            "clients at the user service, by weight",
            with(
                &envoy,
                "route: {cluster: shop}",
                "route: {weighted_clusters: {clusters: [{name: shop, weight: 9}, {name: users, weight: 1}]}}",
            ),
            0,
            "routes[0].route.weighted_clusters: clients come to /users/ of the cluster \"users\"",
        ),
        (
            "clients at a user service that wants a secret",
            with(
                &with(&envoy, "route: {cluster: shop}", "route: {cluster: users}"),
                "path: /users/{sub}",
                "headers: {x-api-key: {env: SIGNING_KEY}}\n                      path: /users/{sub}",
            ),
            0,
            "routes[0].route.cluster: clients come to the cluster \"users\" here, which the gateway calls",
        ),
        (
            "clients at other paths of the user service",
            with(
                &envoy,
                "route: {cluster: shop}",
                "route: {cluster: users, prefix_rewrite: /public}",
            ),
            0,
            "routes[0].route.cluster: clients come to the cluster \"users\" here, which the gateway calls",
        ),
        (
            "clients at the issuer",
            with(&envoy, "route: {cluster: shop}", "route: {cluster: auth}"),
            0,
            "routes[0].route.cluster: clients come to the cluster \"auth\" here, which the gateway calls \
             itself: what they keep open counts in its circuit breaker",
        ),
        (
            "clusters from elsewhere",
            format!(
                "dynamic_resources: {{cds_config: {{ads: {{}}}}}}\n{}",
                with(&envoy, "  - name: auth\n", "")
            ),
            0,
            "",
        ),
        (
            "behind the router",
            with(
                &envoy,
                "http_filters:\n",
                "http_filters:\n          - {name: envoy.filters.http.router}\n",
            ),
            1,
            ":14: error: http_filters[1]: found the filter behind the router",
        ),
        (
            "off by a route",
            with(&envoy, "                route: {cluster: shop}\n", off),
            0,
            "routes[0].typed_per_filter_config.gatepass.disabled: the filter is off here",
        ),
        (
            "off for all",
            with(
                &envoy,
                "          - name: gatepass\n",
                "          - name: gatepass\n            disabled: true\n",
            ),
            0,
            ":14: warning: disabled: the filter is off",
        ),
        (
            "optional",
            with(
                &envoy,
                "          - name: gatepass\n",
                "          - name: gatepass\n            is_optional: true\n",
            ),
            0,
            "is_optional: an Envoy that does not know",
        ),
        (
            "upgrades past it",
            with(
                &envoy,
                "          http_filters:\n",
                "          upgrade_configs: [{upgrade_type: websocket, filters: [{name: envoy.filters.http.router}]}]\n          http_filters:\n",
            ),
            0,
            ":12: warning: upgrade_configs[0].filters: upgrades (websocket) pass without the filter",
        ),
        (
            "upgrades with all filters",
            with(
                &envoy,
                "          http_filters:\n",
                "          upgrade_configs: [{upgrade_type: websocket}]\n          http_filters:\n",
            ),
            0,
            "",
        ),
        (
            "paths as they come",
            with(&envoy, "          normalize_path: true\n", ""),
            0,
            ":7: warning: typed_config: without normalize_path: true, clients",
        ),
        (
            "fails open",
            with(&envoy, "FAIL_RELOAD", "FAIL_OPEN"),
            0,
            ":18: warning: failure_policy: every request passes",
        ),
        ("camelCase", camel, 0, ":18: warning: failurePolicy: every request passes"),
        (
            "no buffer for a body",
            with(&envoy, "                    rules:\n", revokes),
            0,
            "warning: revocation.endpoint: the body of a request comes in after its head",
        ),
        (
            "another type",
            with(&envoy, "wasm.v3.Wasm", "wasm.v2.Wasm"),
            1,
            ":15: error: @type: found \"type.googleapis.com/envoy.extensions.filters.http.wasm.v2.Wasm\"",
        ),
        (
            "no type",
            with(
                &envoy,
                "              \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n",
                "",
            ),
            1,
            "error: typed_config: found no @type",
        ),
        (
            "no value",
            with(&envoy, "                  value:\n", "                  valeu:\n"),
            1,
            "error: found fields beside @type, accepted: value: below @type",
        ),
        (
            "text by type",
            with(&envoy, "google.protobuf.Struct", "google.protobuf.StringValue"),
            1,
            "@type: found a StringValue whose value is not text",
        ),
        (
            "YAML in a text",
            as_text,
            1,
            ":24: error: found text that is not acceptable JSON (it is YAML)",
        ),
        (
            "no configuration",
            without,
            1,
            ":16: error: found nothing, accepted: Gatepass's configuration",
        ),
        (
            "a typed struct",
            with(&typed_struct, "upstream: auth,", "upstream: atuh,"),
            1,
            "did you mean auth? found \"atuh\", which is not a cluster",
        ),
        (
            "a ConfigMap",
            format!(
                "apiVersion: v1\nkind: ConfigMap\ndata:\n  envoy.yaml: |\n{}",
                indented(&with(&envoy, "audiences: [shop-api]", "audience: [shop-api]"), 4)
            ),
            1,
            ":35: error: providers.shop.audience: did you mean audiences?",
        ),
        (
            "what the filter does not see",
            with(&envoy, "[SIGNING_KEY]", "[SIGNINGKEY]"),
            1,
            ":43: error: identity_token.signing_keys[0].private_key: found {env: SIGNING_KEY}, which the filter cannot see",
        ),
    ] {
        desk.put("envoy.yaml", &file);
        let run = desk.run(&["check", "envoy.yaml"]).ended(ends);
        assert!(run.out.contains(told), "{case}: {}", run.out);
        if told.is_empty() {
            assert_eq!(run.out.lines().count(), 1, "{case}: {}", run.out);
        } else if ends == 0 {
            desk.run(&["check", "--strict", "envoy.yaml"]).ended(1);
        }
    }
}

/// What was done to a manifest or a kong.yml, and what is told.
#[test]
fn other_hosts() {
    let desk = Desk::new();
    let istio = |more: &str| {
        let own =
            OWN.replace("upstream: auth,", "upstream: outbound|80||auth.shop.svc.cluster.local,");
        let own =
            own.replace("upstream: users,", "upstream: outbound|80||users.shop.svc.cluster.local,");
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: oci://r/gatepass:1\n  phase: AUTHN\n{more}  vmConfig: {{env: [{{name: SIGNING_KEY, valueFrom: HOST}}]}}\n  pluginConfig:\n{}",
            indented(&own, 4)
        )
    };
    let gateway = |more: &str| {
        let own = OWN.replace("upstream: auth,", "upstream: httproute/shop/auth/rule/0,");
        let own = own.replace("upstream: users,", "upstream: httproute/shop/users/rule/0,");
        format!(
            "kind: Service\n---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nspec:\n  wasm:\n  - name: gatepass\n    env: {{hostKeys: [SIGNING_KEY]}}\n{more}    config:\n{}",
            indented(&own, 6)
        )
    };
    let cluster = |alias: &str, of: &str| {
        format!("envoyextensionpolicy/shop/gatepass/backend/{alias}/gateway/shop/{of}/0")
    };
    let backends = |users: &str| {
        let spec = "metadata: {name: gatepass, namespace: shop}\nspec:\n  targetRefs: [{kind: Gateway, \
                    name: public}]\n  backends:\n  - {name: users, backendRef: {name: users, port: 80}}\n";
        let policy = with(&gateway(""), "httproute/shop/users/rule/0", users);
        with(&policy, "spec:\n  wasm", &format!("{spec}  wasm"))
    };
    let kong = |more: &str| {
        format!(
            "_format_version: '3.0'\nplugins:\n- name: gatepass\n{more}  config:\n{}",
            indented(OWN, 4)
        )
    };
    let native = |own: &str| {
        format!(
            "name: gatepass\ntyped_config:\n  dynamic_module_config: {{name: gatepass_envoy}}\n  filter_name: gatepass\n  filter_config:\n    \"@type\": type.googleapis.com/google.protobuf.Struct\n    value:\n{}",
            indented(own, 6)
        )
    };
    let filter = |patch: &str| {
        let own = istio("");
        let own = own.split_once("pluginConfig:\n").unwrap().1.to_owned();
        format!(
            "kind: EnvoyFilter\nspec:\n  configPatches:\n  - applyTo: HTTP_FILTER\n    match: {{context: GATEWAY, listener: {{filterChain: {{filter: {{subFilter: {{name: envoy.filters.http.router}}}}}}}}}}\n    patch:\n      operation: {patch}\n      value:\n        vm_config: {{vm_id: gatepass, environment_variables: {{host_env_keys: [SIGNING_KEY]}}}}\n        configuration:\n{}",
            indented(&own, 6)
        )
    };
    for (case, file, ends, told) in [
        ("Istio", istio(""), 0, ""),
        (
            "only what workloads send",
            istio("  match: [{mode: CLIENT}]\n"),
            0,
            ":6: warning: match[0].mode: only requests that the workloads send",
        ),
        (
            "some ports",
            istio("  match: [{ports: [{number: 80}]}]\n"),
            0,
            "match[0].ports: requests to other ports than 80 pass without the filter",
        ),
        (
            "no HTTP",
            istio("  type: NETWORK\n"),
            1,
            ":6: error: type: found \"NETWORK\", accepted: HTTP",
        ),
        (
            "fails open in Istio",
            istio("  failStrategy: FAIL_OPEN\n"),
            0,
            ":6: warning: failStrategy: every request passes",
        ),
        (
            "Envoy's names in Istio",
            with(&istio(""), "outbound|80||auth.shop.svc.cluster.local", "auth"),
            0,
            "Istio calls no cluster \"auth\": its names are such as outbound|8080||",
        ),
        (
            "nothing in Istio",
            istio("").split("  pluginConfig").next().unwrap().to_owned(),
            1,
            "error: found nothing, accepted: Gatepass's configuration",
        ),
        ("before the router", filter("INSERT_BEFORE"), 0, ""),
        (
            "behind the router",
            filter("INSERT_AFTER"),
            1,
            ":7: error: operation: found the filter behind the router",
        ),
        (
            "at the end",
            filter("ADD"),
            1,
            ":7: error: operation: found the filter behind the router",
        ),
        ("Envoy Gateway, the second document", gateway(""), 0, ""),
        (
            "fails open in Envoy Gateway",
            gateway("    failOpen: true\n"),
            0,
            ":9: warning: failOpen: every request passes when the filter fails: set it to false",
        ),
        (
            "Envoy's names in Envoy Gateway",
            with(&gateway(""), "httproute/shop/auth/rule/0", "auth"),
            0,
            "Envoy Gateway calls no cluster \"auth\"",
        ),
        ("a policy's own backends", backends(&cluster("users", "public")), 0, ""),
        (
            "an alias",
            backends("users"),
            0,
            "upstream: \"users\" is an alias, which Envoy Gateway resolves for requests only, and \
             keys are fetched between them: give the name of its cluster, \
             envoyextensionpolicy/shop/gatepass/backend/users/gateway/shop/public/0",
        ),
        (
            "no backend of the policy",
            backends(&cluster("user", "public")),
            0,
            "Envoy Gateway makes no cluster \"envoyextensionpolicy/shop/gatepass/backend/user/\
             gateway/shop/public/0\": those of the policy's backends are envoyextensionpolicy/",
        ),
        (
            "a backend of another Gateway",
            backends(&cluster("users", "private")),
            0,
            "Envoy Gateway makes no cluster \"envoyextensionpolicy/shop/gatepass/backend/users/\
             gateway/shop/private/0\"",
        ),
        (
            "an alias of a policy for routes",
            with(&backends("users"), "kind: Gateway", "kind: HTTPRoute"),
            0,
            "envoyextensionpolicy/shop/gatepass/backend/users/gateway/NAMESPACE/GATEWAY/0",
        ),
        (
            "a backend of a policy for routes",
            with(&backends(&cluster("users", "any")), "kind: Gateway", "kind: HTTPRoute"),
            0,
            "",
        ),
        (
            "the backend of another policy",
            backends(&cluster("users", "any").replace("/gatepass/", "/others/")),
            0,
            "",
        ),
        ("a native module", native(OWN), 0, ""),
        (
            "a typo in it",
            native(&with(OWN, "issuer", "isuer")),
            1,
            ":13: error: providers.shop.isuer: did you mean issuer?",
        ),
        (
            "nothing in it",
            native(OWN).split("  filter_config").next().unwrap().to_owned(),
            1,
            "error: found nothing",
        ),
        ("Kong", kong(""), 0, ""),
        ("off in Kong", kong("  enabled: false\n"), 0, ":4: warning: enabled: it is off"),
        (
            "nothing in Kong",
            kong("").split("  config").next().unwrap().to_owned(),
            1,
            ":3: error: found nothing",
        ),
        (
            "Istio's names in Kong",
            with(&kong(""), "upstream: auth,", "upstream: outbound|80||auth,"),
            1,
            "the name of a cluster, accepted: host:port",
        ),
        (
            "a KongPlugin",
            format!(
                "apiVersion: configuration.konghq.com/v1\nkind: KongPlugin\nplugin: gatepass\nconfig:\n{}",
                indented(&with(OWN, "issuer", "isuer"), 2)
            ),
            1,
            ":10: error: providers.shop.isuer",
        ),
        (
            "a list of manifests",
            format!(
                "kind: List\nitems:\n- kind: ConfigMap\n  data:\n    gatepass.yaml: |\n{}",
                indented(&with(OWN, "[country]", "[contry]"), 6)
            ),
            1,
            ":19: error: user_info.required[0]: did you mean country?",
        ),
    ] {
        desk.put("file.yaml", &file);
        let run = desk.run(&["check", "file.yaml"]).ended(ends);
        assert!(run.out.contains(told), "{case}: {}", run.out);
        if told.is_empty() {
            assert_eq!(run.out.lines().count(), 1, "{case}: {}", run.out);
        }
    }
}

/// What is accepted, and may not be what was meant.
#[test]
fn what_may_not_be_meant() {
    let desk = Desk::new();
    let two = "  other:\n    issuer: https://other.example\n    audiences: [other-api]\n    remote_jwks: {service: auth, path: /other.json}\n    max_lifetime_seconds: 60\nuser_info:\n";
    let two = with(OWN, "user_info:\n", two);
    let two =
        with(&two, "  audiences: [services]\n", "  audiences: [services]\n  subject: \"{sub}\"\n");
    let reference = with(
        OWN,
        "remote_jwks: {service: auth, path: /jwks.json}",
        "introspection: {service: auth, path: /i, client_id: g, client_secret: {env: API_KEY}}",
    );
    for (case, file, told) in [
        (
            "any audience",
            with(OWN, "[shop-api]", "[\"*\"]"),
            "providers.shop.audiences[0]: \"*\" is taken literally",
        ),
        (
            "a variable",
            with(OWN, "path_prefix: /login", "path: /users/:id"),
            "rules[0].match.path: \"/users/:id\" is taken literally",
        ),
        (
            "Entra's metadata",
            with(
                &with(OWN, "https://auth.shop.example", "https://login.example/{tenantid}/v2.0"),
                "    max_lifetime",
                "    required_claims: {tenantid: [a]}\n    max_lifetime",
            ),
            "providers.shop.issuer: tokens of Entra name the tenant in the claim tid",
        ),
        (
            "required left empty",
            with(OWN, "  required: [country]\n", ""),
            "user_info: a reply without any of claims",
        ),
        (
            "two issuers, one sub",
            two.clone(),
            "identity_token.subject: two issuers may have the same sub",
        ),
        ("two issuers, one user", two, "user_info.path: two issuers may have the same sub"),
        (
            "JWTs that nobody is asked about",
            reference,
            "providers.shop.introspection: the issuer is not asked about tokens in the form of a JWT",
        ),
        (
            "two meanings",
            format!("{OWN}claim_to_headers: [{{header: x-pod, claim: kubernetes.io.pod}}]\n"),
            "claim_to_headers[0].claim: the claim \"kubernetes.io.pod\" can mean two things",
        ),
        (
            "a placeholder",
            with(OWN, "[services]", "[\"${AUDIENCE}\"]"),
            "identity_token.audiences[0]: a placeholder",
        ),
    ] {
        desk.put("own.yaml", &file);
        let run = desk.run(&["check", "own.yaml"]).ended(0);
        assert!(run.out.contains(&format!(": warning: {told}")), "{case}: {}", run.out);
        desk.run(&["check", "--strict", "own.yaml"]).ended(1);
    }
}
