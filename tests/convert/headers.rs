//! Headers that a source writes, and so keeps clients from setting: they stay closed, or a
//! note says how to close them.

use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use gatepass_cli::convert::{Converted, Selection, convert};
use serde_json::json;

use crate::support::*;
use crate::{ISSUERS, Token, jwks, text_of, world};

fn converted(text: &str) -> Converted {
    convert(text, &Selection::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn changes(converted: &Converted) -> Vec<String> {
    let changes = converted.notes.iter().filter(|note| note.is_change);
    changes.map(ToString::to_string).collect()
}

/// Envoy's filter, whose providers have these fields too: the second one's keys are not in
/// the file.
fn envoy(kept: &str, left_out: &str) -> String {
    let (issuer, keys) = (ISSUERS[0].0, jwks(0));
    format!(
        "providers:\n  a: {{issuer: '{issuer}', audiences: [x], local_jwks: {{inline_string: '{keys}'}}{kept}}}\n  \
         gone: {{issuer: 'https://c.example', local_jwks: {{filename: /k}}{left_out}}}\n\
         rules:\n- {{match: {{prefix: /open}}}}\n\
         - {{match: {{prefix: /maybe}}, requires: {{requires_any: {{requirements: [{{provider_name: a}}, {{allow_missing: {{}}}}]}}}}}}\n\
         - {{match: {{prefix: /}}, requires: {{provider_name: a}}}}\n"
    )
}

fn istio(fields: &str) -> String {
    let (issuer, keys) = (ISSUERS[0].0, jwks(0));
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: a}}\nspec:\n  \
         jwtRules: [{{issuer: '{issuer}', audiences: [x], jwks: '{keys}'{fields}}}]\n"
    )
}

fn kong(plugin: &str, options: &str) -> String {
    format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://s\n  routes:\n  \
         - {{name: open, paths: [/open/]}}\n  - name: r\n    paths: [/]\n    plugins:\n    \
         - name: {plugin}\n      config: {{{options}}}\n"
    )
}

/// What services get of headers that a client sent.
fn reaching(converted: &Converted, path: &str, with_token: bool, names: &[&str]) -> Vec<String> {
    let claims = json!({"sub": "alice", "aud": "x"});
    let token = Token { issuer: 0, claims, is_expired: false };
    let token = format!("Bearer {}", text_of(&token));
    let mut fields = vec![(":method", "GET"), (":path", path), (":authority", "a.example")];
    fields.extend(names.iter().map(|name| (*name, "forged")));
    fields.extend(with_token.then_some(("authorization", token.as_str())));
    let head = head(&fields);
    let mut world = world(converted);
    match world.begin(head.clone()) {
        Step::Done(Verdict::Forward(edits), _) => {
            let fields = upstream(ENVOY, &head, &edits).into_iter();
            let forged = fields.filter(|(_, value)| value == "forged");
            forged.map(|(name, _)| name).collect()
        }
        other => panic!("{path} is forwarded: {other:?}"),
    }
}

#[test]
fn clients_cannot_set_what_the_source_wrote() {
    let claims = ", claim_to_headers: [{header_name: X-Claim, claim_name: sub}]";
    let payload = ", forward_payload_header: X-Jwt-Payload";
    let bearer = "issuer: 'https://a.example', issuers_allowed: ['https://a.example'], \
                  audience_required: [x], auth_methods: [bearer]";
    for (case, text, names) in [
        ("a payload", envoy(payload, ""), &["x-jwt-payload", "X_Jwt_Payload"][..]),
        ("of a provider that is left out", envoy("", payload), &["x-jwt-payload"]),
        ("claims of a provider that is left out", envoy("", claims), &["x-claim"]),
        (
            "one header for two things",
            envoy(claims, ", forward_payload_header: x_claim"),
            &["x-claim"],
        ),
        (
            "one of Kong's names",
            envoy(", forward_payload_header: x-consumer-id", ""),
            &["x-consumer-id"],
        ),
        ("Istio's payload", istio(", outputPayloadToHeader: x-p"), &["x-p"]),
        ("Istio's claims", istio(", outputClaimToHeaders: [{header: x-c, claim: sub}]"), &["x-c"]),
        (
            "openid-connect",
            kong(
                "openid-connect",
                &format!(
                    "{bearer}, upstream_user_info_header: X-User-Info, upstream_access_token_header: 'x-at:bearer'"
                ),
            ),
            &["x-user-info", "x-at"],
        ),
        (
            "jwt-signer",
            kong(
                "jwt-signer",
                "access_token_jwks_uri: 'https://a.example/k', access_token_issuers_allowed: ['https://a.example'], \
                 access_token_audiences_allowed: [x], original_access_token_upstream_header: x-original",
            ),
            &["x-original"],
        ),
    ] {
        let made = converted(&text);
        let opened = changes(&made).into_iter().filter(|it| it.contains("clients can set"));
        assert_eq!(opened.collect::<Vec<_>>(), [""; 0], "{case}");
        let is_istio = case.starts_with("Istio");
        for (path, with_token) in [("/open/a", is_istio), ("/a", true)] {
            let reaching = reaching(&made, path, with_token, names);
            assert_eq!(reaching, [""; 0], "{case}: {path}\n{:#}", made.configuration);
        }
    }
    let made = converted(&envoy(payload, ""));
    assert_eq!(reaching(&made, "/maybe", false, &["x-jwt-payload"]), [""; 0]);
    assert_eq!(
        made.configuration["claim_to_headers"],
        json!([{"header": "x-jwt-payload", "claim": "removed-by-convert", "format": "text"}])
    );
}

/// Names that have a meaning of their own, which no configuration can have.
#[test]
fn what_gatepass_cannot_remove_is_left_to_be_done() {
    let gateway = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: SecurityPolicy\nmetadata: {name: p}\nspec:\n  jwt: {providers: [{name: a, issuer: 'https://a.example', audiences: [x], \
                   remoteJWKS: {uri: 'https://a.example/k'}, claimToHeaders: [{header: x-real-ip, claim: ip}]}]}\n";
    for (case, text, expected) in [
        (
            "Envoy's payload",
            envoy(", forward_payload_header: X-Real-IP", ""),
            "provider a: clients can set the header x-real-ip now, which Gatepass cannot remove: \
             add request_headers_to_remove: [x-real-ip] to the virtual host, until no service \
             reads it",
        ),
        (
            "Envoy's claims",
            envoy("", ", claim_to_headers: [{header_name: x-forwarded-for, claim_name: ip}]"),
            "provider gone: clients can set the header x-forwarded-for now",
        ),
        (
            "Istio's",
            istio(", outputPayloadToHeader: x-real-ip"),
            "add headers: {request: {remove: [x-real-ip]}} to the routes of the VirtualService",
        ),
        (
            "Envoy Gateway's",
            gateway.to_owned(),
            "add a filter RequestHeaderModifier with remove: [x-real-ip] to the HTTPRoutes",
        ),
        (
            "Kong's",
            kong(
                "openid-connect",
                "issuer: 'https://a.example', auth_methods: [bearer], upstream_user_info_header: x-real-ip",
            ),
            "add a plugin request-transformer with config: {remove: {headers: [x-real-ip]}}",
        ),
    ] {
        let told = changes(&converted(&text));
        assert!(told.iter().any(|note| note.contains(expected)), "{case}: {told:#?}");
    }
}
