//! The host's settings that security rests on are in the files that are shipped,
//! each with its reason beside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

const ENVOY: &str = include_str!("../envoy/envoy.yaml");
const ENVOY_TLS: &str = include_str!("../envoy/envoy-tls.yaml");
const KONG: &str =
    concat!(include_str!("../kong/kong.conf"), include_str!("../kong/production.conf"));

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).expect("YAML")
}

const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const FILTER: &str = "/http_filters/0/typed_config/config";

/// Whether the lines from the last comment above `setting` on belong to it: what
/// is set has a reason, its own or that of its block.
fn has_reason(file: &str, setting: &str) -> bool {
    let lines: Vec<_> = file.lines().collect();
    let at = lines.iter().position(|line| line.contains(setting));
    let above = lines.iter().take(at.unwrap_or_else(|| panic!("no {setting}"))).rev();
    above.take(8).any(|line| line.trim_start().starts_with('#'))
}

#[test]
fn each_setting_of_envoy_is_there() {
    for file in [ENVOY, ENVOY_TLS] {
        let envoy = yaml(file);
        let manager = |at: &str| format!("{MANAGER}{at}");
        for (setting, at, expected) in [
            ("normalize_path", manager("/normalize_path"), json!(true)),
            ("merge_slashes", manager("/merge_slashes"), json!(true)),
            (
                "path_with_escaped_slashes_action",
                manager("/path_with_escaped_slashes_action"),
                json!("REJECT_REQUEST"),
            ),
            ("use_remote_address", manager("/use_remote_address"), json!(true)),
            (
                "headers_with_underscores_action",
                manager("/common_http_protocol_options/headers_with_underscores_action"),
                json!("REJECT_REQUEST"),
            ),
            (
                "max_headers_count",
                manager("/common_http_protocol_options/max_headers_count"),
                json!(100),
            ),
            ("idle_timeout", manager("/common_http_protocol_options/idle_timeout"), json!("300s")),
            ("max_request_headers_kb", manager("/max_request_headers_kb"), json!(60)),
            ("request_headers_timeout", manager("/request_headers_timeout"), json!("10s")),
            ("stream_idle_timeout", manager("/stream_idle_timeout"), json!("60s")),
            ("request_timeout", manager("/request_timeout"), json!("60s")),
            (
                "max_concurrent_streams",
                manager("/http2_protocol_options/max_concurrent_streams"),
                json!(100),
            ),
            (
                "initial_stream_window_size",
                manager("/http2_protocol_options/initial_stream_window_size"),
                json!(65536),
            ),
            (
                "initial_connection_window_size",
                manager("/http2_protocol_options/initial_connection_window_size"),
                json!(1_048_576),
            ),
            ("failure_policy", manager(&format!("{FILTER}/failure_policy")), json!("FAIL_RELOAD")),
            ("vm_id", manager(&format!("{FILTER}/vm_config/vm_id")), json!("gatepass")),
            (
                "host_env_keys",
                manager(&format!("{FILTER}/vm_config/environment_variables/host_env_keys")),
                json!(["GATEPASS_SIGNING_KEY", "USERS_API_KEY"]),
            ),
            (
                "per_connection_buffer_limit_bytes",
                "/static_resources/listeners/0/per_connection_buffer_limit_bytes".into(),
                json!(32768),
            ),
            (
                "address: {socket_address: {address: 127.0.0.1, port_value: 9901}}",
                "/admin/address/socket_address/address".into(),
                json!("127.0.0.1"),
            ),
            (
                "max_active_downstream_connections",
                "/overload_manager/resource_monitors/0/typed_config/max_active_downstream_connections"
                    .into(),
                json!(10_000),
            ),
        ] {
            assert_eq!(envoy.pointer(&at), Some(&expected), "{at}");
            assert!(has_reason(file, setting), "{setting} has a reason");
        }
        for cluster in envoy.pointer("/static_resources/clusters").unwrap().as_array().unwrap() {
            let thresholds = &cluster["circuit_breakers"]["thresholds"][0];
            for limit in ["max_connections", "max_pending_requests", "max_requests"] {
                assert!(thresholds[limit].as_u64() <= Some(1024), "{} {limit}", cluster["name"]);
            }
            assert_eq!(thresholds["max_retries"], 3, "{}", cluster["name"]);
            assert_eq!(cluster["per_connection_buffer_limit_bytes"], 32768, "{}", cluster["name"]);
            let within = ["0.25s", "1s"].map(Value::from);
            assert!(within.contains(&cluster["connect_timeout"]), "{}", cluster["name"]);
        }
        assert!(!file.contains("FAIL_OPEN\n"), "never");
        // A query may hold secrets, and so may most headers.
        let format = "/access_log/0/typed_config/log_format/text_format_source/inline_string";
        let format = envoy.pointer(&manager(format)).and_then(Value::as_str).unwrap();
        assert!(format.contains("%PATH(NQ)%"), "{format}");
        assert_eq!(format.matches("%REQ(").count(), 2, "method and request id: {format}");
        // What a request to revoke may hold: as much as the filter reads.
        let buffer = "/http_filters/1/typed_config/max_request_bytes";
        assert_eq!(envoy.pointer(&manager(buffer)), Some(&json!(262_144)));
    }
}

/// A setting that is added is added above: these say what the manager is for.
#[test]
fn no_setting_of_envoys_connection_manager_is_without_a_test() {
    const PURPOSE: [&str; 5] =
        ["@type", "stat_prefix", "access_log", "http_filters", "route_config"];
    let source = include_str!("hosts.rs");
    let mut settings = Vec::new();
    for (name, value) in yaml(ENVOY).pointer(MANAGER).unwrap().as_object().unwrap() {
        match value.as_object() {
            _ if PURPOSE.contains(&name.as_str()) => {}
            Some(group) => settings.extend(group.keys().map(|own| format!("/{name}/{own}"))),
            None => settings.push(format!("/{name}")),
        }
    }
    assert!(settings.len() > 10, "{settings:?}");
    for setting in settings {
        assert!(source.contains(&format!("manager(\"{setting}\")")), "{setting}");
    }
}

/// The form for production is the one that is tested all the time, and TLS:
/// `.ci/envoy-tls` writes it.
#[test]
fn the_form_with_tls_differs_by_tls_alone() {
    let mut plain = yaml(ENVOY);
    let mut tls = yaml(ENVOY_TLS);

    let socket = |value: &mut Value, kind: &str| {
        let socket = value.as_object_mut().unwrap().remove("transport_socket").expect("TLS");
        let context = &socket["typed_config"];
        assert!(context["@type"].as_str().unwrap().ends_with(kind), "{context}");
        let common = &context["common_tls_context"];
        assert_eq!(common["tls_params"]["tls_minimum_protocol_version"], "TLSv1_2");
        context.clone()
    };
    let listener = |envoy: &mut Value| {
        let listener = &mut envoy["static_resources"]["listeners"][0];
        listener["address"] = Value::Null;
        std::mem::take(listener)
    };
    let (mut plain_listener, mut tls_listener) = (listener(&mut plain), listener(&mut tls));
    let chain = &mut tls_listener["filter_chains"][0];
    socket(chain, "DownstreamTlsContext");
    chain.as_object_mut().unwrap().remove("transport_socket_connect_timeout").unwrap();
    let manager = &mut chain["filters"][0]["typed_config"];
    let routes = manager["route_config"].as_object_mut().unwrap();
    let added = routes.remove("response_headers_to_add").unwrap();
    assert_eq!(added[0]["header"]["key"], "strict-transport-security");
    for listener in [&mut plain_listener, &mut tls_listener] {
        let at = "/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config";
        let config = &mut listener.pointer_mut(at).unwrap()["configuration"]["value"];
        let services = config["services"].as_object_mut().unwrap();
        let schemes: Vec<_> = services.values_mut().map(|it| it["scheme"].take()).collect();
        assert!(schemes.len() > 1 && schemes[0].is_string(), "{schemes:?}");
        assert!(schemes.iter().all(|scheme| *scheme == schemes[0]), "{schemes:?}");
        let resource = config["resources"][0]["resource"].take();
        assert!(resource.as_str().unwrap().ends_with("/tools"), "{resource}");
    }
    assert_eq!(plain_listener, tls_listener, "run .ci/envoy-tls");

    let clusters = |envoy: &mut Value| envoy["static_resources"]["clusters"].take();
    let (mut plain_clusters, mut tls_clusters) = (clusters(&mut plain), clusters(&mut tls));
    for cluster in tls_clusters.as_array_mut().unwrap() {
        let context = socket(cluster, "UpstreamTlsContext");
        // Logins are of the same service.
        let service = cluster["name"].as_str().unwrap().replace("login", "auth");
        let name = format!("{service}.internal");
        assert_eq!(context["sni"], *name);
        let validation = &context["common_tls_context"]["validation_context"];
        assert!(validation["trusted_ca"].is_object(), "{name}");
        let names = &validation["match_typed_subject_alt_names"];
        assert_eq!(*names, json!([{"san_type": "DNS", "matcher": {"exact": name}}]));
    }
    for clusters in [&mut plain_clusters, &mut tls_clusters] {
        for cluster in clusters.as_array_mut().unwrap() {
            let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
            *cluster.pointer_mut(endpoint).unwrap() = Value::Null;
            cluster["type"] = Value::Null;
        }
    }
    assert_eq!(plain_clusters, tls_clusters, "run .ci/envoy-tls");
    assert_eq!(plain, tls);
}

/// The settings of a kong.conf.
fn kong() -> BTreeMap<&'static str, &'static str> {
    let settings = KONG.lines().filter(|line| !line.starts_with('#'));
    settings
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim()))
        .collect()
}

#[test]
fn each_setting_of_kong_is_there() {
    let expected = BTreeMap::from([
        ("wasm", "on"),
        ("wasm_filters_path", "/etc/kong/wasm"),
        ("nginx_wasm_proxy_wasm_lua_resolver", "on"),
        ("nginx_main_env", "GATEPASS_SIGNING_KEY"),
        ("log_level", "info"),
        ("nginx_proxy_underscores_in_headers", "off"),
        ("nginx_proxy_ignore_invalid_headers", "on"),
        ("nginx_proxy_client_header_timeout", "10s"),
        ("nginx_proxy_large_client_header_buffers", "4 16k"),
        ("trusted_ips", ""),
        ("headers", "off"),
        ("admin_listen", "127.0.0.1:8001"),
        ("proxy_listen", "0.0.0.0:8443 ssl http2"),
        ("ssl_cert", "/etc/kong/tls/gateway.crt"),
        ("ssl_cert_key", "/etc/kong/tls/gateway.key"),
        ("ssl_cipher_suite", "intermediate"),
        // That of production.conf: it comes behind the other.
        ("lua_ssl_trusted_certificate", "/etc/kong/tls/services-ca.crt"),
        ("lua_ssl_verify_depth", "2"),
    ]);
    assert_eq!(kong(), expected);
    for setting in expected.keys() {
        assert!(has_reason(KONG, &format!("{setting} =")), "{setting} has a reason");
    }
}
