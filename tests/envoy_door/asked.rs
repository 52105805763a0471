//! What the gateway asks Envoy about a request: what the `mcp` filter found in its body, and
//! the client's certificate.

use serde_json::json;

use crate::host::{CONTINUE, Call, Envoy, LOG, STOP};
use crate::{bearer_of, claims, configuration, start};

#[test]
fn a_rule_sees_the_call_that_the_mcp_filter_read() {
    let mut configuration = configuration();
    configuration["rules"] = json!([
        {"match": {"path": "/mcp", "mcp": {"names": ["place_order"]}},
            "requires": {"scopes_all": ["orders.write"]}},
        {"match": {"path": "/mcp", "mcp": {"names": ["list_catalog"]}}, "bypass": true},
    ]);
    let envoy = Envoy::start(&configuration.to_string()).unwrap();
    let list = r#"{"params": {"name": "list_catalog"}}"#;
    let read = Call {
        texts: &[("method", "tools/call"), ("status", "mcp_ok")],
        state: Some(list),
        ..Call::default()
    };
    let order = Some(r#"{"params": {"name": "place_order"}}"#);
    for (case, call, expected) in [
        ("what it read", read, CONTINUE),
        ("a rule of another tool", Call { state: order, ..read }, STOP),
        ("no state", Call { state: None, ..read }, STOP),
        ("a state that is no JSON", Call { state: Some("list_catalog"), ..read }, STOP),
        (
            "a part of a long body",
            Call {
                texts: &[("method", "tools/call")],
                flags: &["is_exceeding_limit"],
                state: Some(list),
            },
            STOP,
        ),
        ("a part that the filter read well", Call { flags: &["is_exceeding_limit"], ..read }, STOP),
        ("without the filter the fields count", Call::default(), CONTINUE),
        (
            "a filter that read nothing",
            Call { flags: &["is_mcp_request"], ..Call::default() },
            STOP,
        ),
    ] {
        let request = envoy.open(&[
            (":method", "POST"),
            (":path", "/mcp"),
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "list_catalog"),
        ]);
        assert_eq!(request.calling(call).headers(false), expected, "{case}");
    }
}

#[test]
fn a_bound_token_passes_with_its_certificate_only() {
    const DIGEST: &str = "abababababababababababababababababababababababababababababababab";
    const OTHER: &str = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
    let mut configuration = configuration();
    configuration.as_object_mut().unwrap().remove("user_info");
    configuration["providers"]["shop"]["binding"] = json!({"mtls": true});
    let envoy = Envoy::start(&configuration.to_string()).unwrap();
    let mut bound = claims("alice", 60);
    // The digest in base64url.
    bound["cnf"] = json!({"x5t#S256": format!("{}q6s", "q6ur".repeat(10))});
    let authorization = bearer_of(&bound);
    for (digest, expected) in [
        (Some(DIGEST), CONTINUE),
        (Some(OTHER), STOP),
        (Some("ab"), STOP),
        (None, STOP),
        (Some(DIGEST), CONTINUE),
    ] {
        let request = envoy.open(&[("authorization", &authorization)]).certified(digest);
        assert_eq!(request.headers(true), expected, "{digest:?}");
        let code = request.answer().map(|answer| answer.details);
        assert_eq!(code.as_deref(), (expected == STOP).then_some("binding_mismatch"));
    }
}

#[test]
fn a_request_is_logged_by_the_id_that_envoy_gave_it() {
    let envoy = start();
    assert_eq!(envoy.open(&[("x-request-id", "from-envoy")]).headers(true), STOP);
    let named = |line: &String| line.contains(r#""request_id":"from-envoy""#);
    assert!(LOG.with_borrow(|log| log.iter().any(named)));
}
