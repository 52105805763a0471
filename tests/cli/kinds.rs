//! Mistakes of more than twenty kinds, as a new user makes them, with the words by which each is
//! mended: the same from `gatepass check` and from the filter as it starts.

/// A mistake.
pub struct Mistake {
    pub kind: &'static str,
    /// What is written, in the place of what is right in the file.
    pub wrong: &'static str,
    pub right: &'static str,
    /// The line that is named.
    pub line: usize,
    pub told: &'static str,
    /// The same as a change of a valid configuration (RFC 7396), if it comes as far as the
    /// filter: what is not YAML, the host itself refuses, and warnings are of `check` alone.
    pub patch: &'static str,
}

const fn kind(
    kind: &'static str,
    (wrong, right): (&'static str, &'static str),
    line: usize,
    told: &'static str,
    patch: &'static str,
) -> Mistake {
    Mistake { kind, wrong, right, line, told, patch }
}

const SERVICES: &str = "services:
  auth: {upstream: auth, authority: auth.internal}
  users: {upstream: users, authority: users.internal}";

const LOGIN: &str = "- match: {path_prefix: /login}";

pub const KINDS: [Mistake; 25] = [
    kind("a tab", ("\tissuer:", "    issuer:"), 6, "a tab, where YAML has spaces", ""),
    kind(
        "a list that is not closed",
        ("audiences: [shop-api", "audiences: [shop-api]"),
        7,
        "a [ that is not closed, or a comma that is missing",
        "",
    ),
    kind("a section twice", ("providers: {}\nrules:", "rules:"), 20, "\"providers\" twice", ""),
    kind(
        "a template",
        ("issuer: {{ .Values.issuer }}", "issuer: https://auth.shop.example"),
        6,
        "a template ({{ ... }}): check what it makes, such as helm template prints",
        "",
    ),
    kind(
        "a merge that was not ended",
        ("<<<<<<< HEAD\nrules:", "rules:"),
        20,
        "git left to you",
        "",
    ),
    kind(
        "a URL in the place of an address of the configuration",
        ("https://auth.shop.example/jwks.json", "{service: auth, path: /jwks.json}"),
        8,
        "found a string, accepted: an object such as {service: auth, path: /jwks.json}, with auth \
         one of services",
        r#"{"providers": {"shop": {"local_jwks": null, "remote_jwks": "https://a.example/jwks"}}}"#,
    ),
    kind(
        "a list in the place of names",
        ("services: [{name: auth, upstream: auth}, {name: users}]", SERVICES),
        1,
        "found an array, accepted: an object of names, such as NAME: {...}",
        r#"{"services": [{"name": "auth", "upstream": "auth"}]}"#,
    ),
    kind(
        "a host in the place of an object",
        ("  auth: auth.internal", "  auth: {upstream: auth, authority: auth.internal}"),
        2,
        "found a string, accepted: an object such as {upstream: CLUSTER, authority: HOST}",
        r#"{"services": {"auth": "auth.internal"}}"#,
    ),
    kind(
        "something that must be there",
        ("", "    audiences: [shop-api]\n"),
        5,
        "found no audiences, accepted: audiences, or allow_any_audience: true",
        r#"{"providers": {"shop": {"audiences": null}}}"#,
    ),
    kind(
        "a section that must be there",
        (
            "limits:",
            "identity_token:\n  issuer: https://gateway.internal\n  audiences: [services]\n  signing_keys:\n  - {algorithm: ES256, private_key: {env: SIGNING_KEY}}",
        ),
        1,
        "found nothing, accepted: an object with issuer, audiences and signing_keys",
        r#"{"identity_token": null}"#,
    ),
    kind(
        "a name of nothing",
        ("  requires: {providers: [okta]}", "  bypass: true"),
        22,
        "found \"okta\", accepted: one of providers: shop",
        r#"{"rules": [{"match": {}, "requires": {"providers": ["okta"]}}]}"#,
    ),
    kind(
        "a name where there are none",
        ("  policy: staff", "  bypass: true"),
        22,
        "found \"staff\", accepted: one of policies, of which there are none",
        r#"{"rules": [{"match": {}, "policy": "staff"}]}"#,
    ),
    kind(
        "one value in two places",
        (
            "  two: {issuer: 'https://auth.shop.example', audiences: [b], remote_jwks: {service: auth, path: /b}}\nuser_info:",
            "user_info:",
        ),
        4,
        "in two providers, accepted: each issuer in one provider",
        r#"{"providers": {"shop": {"issuer": "https://auth.shop.example"}, "two": {"issuer": "https://auth.shop.example", "audiences": ["b"], "remote_jwks": {"service": "auth", "path": "/b"}}}}"#,
    ),
    kind(
        "two things of which one is wanted",
        ("  bypass: true\n  requires: {scopes_all: [a]}", "  bypass: true"),
        21,
        "found both bypass and requires, accepted: one of bypass, requires and policy",
        r#"{"rules": [{"match": {}, "bypass": true, "requires": {"scopes_all": ["a"]}}]}"#,
    ),
    kind(
        "a rule after one that takes all",
        ("- match: {}\n- match: {path_prefix: /login}", LOGIN),
        22,
        "warning: rules[1]: never reached: rule 0 matches all that it does",
        "",
    ),
    kind(
        "a pattern that is none",
        ("- match: {path: '/users/:id'}", LOGIN),
        21,
        "is taken literally, not as a pattern: path_template is for patterns, such as /users/{id}",
        "",
    ),
    kind(
        "a wildcard where there is none",
        ("- match: {path_prefix: /login/*}", LOGIN),
        21,
        "path_template is for patterns, such as /files/**",
        r#"{"rules": [{"match": {"path_prefix": "/login/*"}, "bypass": true}]}"#,
    ),
    kind(
        "another case",
        ("- match: {path_prefix: /login, methods: [get]}", LOGIN),
        21,
        "found \"get\", accepted: a method in upper case, such as GET",
        r#"{"rules": [{"match": {"methods": ["get"]}, "bypass": true}]}"#,
    ),
    kind(
        "more than is asked for",
        ("- match: {hosts: ['https://a.example']}", LOGIN),
        21,
        "found \"https://a.example\", accepted: a host such as api.example.com or *.example.com, \
         without a port",
        r#"{"rules": [{"match": {"hosts": ["https://a.example"]}, "bypass": true}]}"#,
    ),
    kind(
        "a list in one text",
        ("  requires: {scopes_all: [read write]}", "  bypass: true"),
        22,
        "found \"read write\", accepted: one scope, without spaces",
        r#"{"rules": [{"match": {}, "requires": {"scopes_all": ["read write"]}}]}"#,
    ),
    kind(
        "a text where there are several",
        ("  requires: {scopes_all: read}", "  bypass: true"),
        22,
        "found a string, accepted: a list",
        r#"{"rules": [{"match": {}, "requires": {"scopes_all": "read"}}]}"#,
    ),
    kind(
        "the other half of a key",
        (
            "private_key: \"-----BEGIN PUBLIC KEY-----\\nMFkw\\n-----END PUBLIC KEY-----\\n\"}",
            "private_key: {env: SIGNING_KEY}}",
        ),
        19,
        "found a public key, with which nobody can sign, accepted: a private JWK, a PKCS#8 PEM, or \
         {env: NAME} that holds one",
        r#"{"identity_token": {"signing_keys": [{"algorithm": "ES256", "private_key": "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"}]}}"#,
    ),
    kind(
        "the name of a file",
        ("private_key: /etc/key.pem}", "private_key: {env: SIGNING_KEY}}"),
        19,
        "found the name of a file, which the filter does not read, accepted: a private JWK",
        r#"{"identity_token": {"signing_keys": [{"algorithm": "ES256", "private_key": "/etc/key.pem"}]}}"#,
    ),
    kind(
        "a variable that is not set",
        ("private_key: {env: SIGNING_KEYS}}", "private_key: {env: SIGNING_KEY}}"),
        19,
        "found {env: SIGNING_KEYS}, which is not set, accepted: a string, or {env: NAME} with NAME \
         set and passed on to the filter: by vm_config.environment_variables.host_env_keys in \
         Envoy, by nginx_main_env in Kong",
        r#"{"identity_token": {"signing_keys": [{"algorithm": "ES256", "private_key": {"env": "SIGNING_KEYS"}}]}}"#,
    ),
    kind(
        "one value for two parties",
        (
            "issuer: https://auth.shop.example\n  audiences: [services]",
            "issuer: https://gateway.internal\n  audiences: [services]",
        ),
        16,
        "found the issuer of provider \"shop\" as identity_token.issuer, accepted: an issuer of the \
         gateway's own",
        r#"{"providers": {"shop": {"issuer": "https://auth.shop.example"}},
            "identity_token": {"issuer": "https://auth.shop.example"}}"#,
    ),
];
