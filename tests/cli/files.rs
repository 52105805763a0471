//! Files as people write them, without a mistake.

/// A configuration of Gatepass's own.
pub const OWN: &str = "\
services:
  auth: {upstream: auth, authority: auth.internal}
  users: {upstream: users, authority: users.internal}
providers:
  shop:
    issuer: https://auth.shop.example
    audiences: [shop-api]
    remote_jwks: {service: auth, path: /jwks.json}
    max_lifetime_seconds: 3600
user_info:
  service: users
  path: /users/{sub}
  claims: {country: /address/country}
  required: [country]
identity_token:
  issuer: https://gateway.internal
  audiences: [services]
  signing_keys:
  - {algorithm: ES256, private_key: {env: SIGNING_KEY}}
rules:
- match: {path_prefix: /login}
  bypass: true
";

/// Where it stands in [`envoy`].
pub const IN_ENVOY: usize = 24;

/// A file for Envoy, with the configuration.
pub fn envoy() -> String {
    let own = indented(OWN, 20);
    format!(
        "\
static_resources:
  listeners:
  - name: public
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: REJECT_REQUEST
          http_filters:
          - name: gatepass
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: gatepass
                failure_policy: FAIL_RELOAD
                vm_config:
                  vm_id: gatepass
                  environment_variables: {{host_env_keys: [SIGNING_KEY]}}
                configuration:
                  \"@type\": type.googleapis.com/google.protobuf.Struct
                  value:
{own}          - name: envoy.filters.http.router
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{prefix: /}}
                route: {{cluster: shop}}
  clusters:
  - name: auth
  - name: users
  - name: shop
"
    )
}

/// Each line with so many spaces before it.
pub fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(spaces))).collect()
}

/// The text with one thing in the place of another, which is there.
#[track_caller]
pub fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}
