//! Rules by what a call of the Model Context Protocol is for.

use std::net::IpAddr;

use gatepass::config;
use gatepass::host::{RequestId, RequestInfo};
use gatepass::pipeline::Pipeline;
use serde_json::{Value, json};

use crate::support::*;

/// What Envoy's `mcp` filter left, by path.
#[derive(Debug)]
struct Metadata(Vec<(&'static str, &'static str)>);

impl RequestInfo for Metadata {
    fn request_id(&self, _: RequestId) -> Option<Vec<u8>> {
        None
    }

    fn client_address(&self, _: RequestId) -> Option<IpAddr> {
        None
    }

    fn mcp(&self, _: RequestId, path: &[&str]) -> Option<Vec<u8>> {
        let found = self.0.iter().find(|(own, _)| *own == path.join("."));
        found.map(|(_, value)| value.as_bytes().to_vec())
    }
}

fn shop(rules: Value) -> Value {
    local([("/rules", rules)])
}

fn rules() -> Value {
    json!([
        {"match": {"path": "/mcp", "methods": ["POST"],
            "mcp": {"methods": ["tools/call"], "names": ["place_order"]}},
            "requires": {"scopes_all": ["orders.write"]}},
        {"match": {"path": "/mcp", "mcp": {"names": ["refund"]}},
            "requires": {"scopes_all": ["refunds"]}},
        {"match": {"path": "/mcp", "mcp": {"methods": ["tools/list"]}}, "bypass": true},
        {"match": {"path": "/mcp"}, "requires": {"scopes_all": ["catalog.read"]}},
        {"match": {"path": "/open"}, "bypass": true},
    ])
}

/// The code of the denial, `ok`, or the scopes that are asked for.
fn outcome(
    config: &Value,
    metadata: &[(&'static str, &'static str)],
    fields: &[(&str, &str)],
) -> String {
    let settings = config::load(config.to_string().as_bytes(), &|_| None, None).unwrap();
    let gateway = Pipeline::new(settings, ENVOY, *b"0123456789abcdef");
    let mut gateway = gateway.with_request_info(Box::new(Metadata(metadata.to_vec())));
    let now = gatepass::time::UnixTime::from_secs(START);
    match gateway.begin(RequestId::default(), head(fields), now) {
        gatepass::pipeline::Step::Done(gatepass::verdict::Verdict::Forward(_), _) => "ok".into(),
        step => denied(step).1,
    }
}

const NEW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const OLD: (&str, &str) = ("mcp-protocol-version", "2025-11-25");
const CALL: (&str, &str) = ("mcp-method", "tools/call");

#[test]
fn a_call_finds_its_rule() {
    let config = shop(rules());
    let (lists, orders, all) =
        ("catalog.read", "catalog.read orders.write", "catalog.read orders.write refunds");
    let order = [("method", "tools/call"), ("params.name", "place_order")];
    let list = [("method", "tools/call"), ("params.name", "list_catalog")];
    let no = "insufficient_scope";
    for (case, metadata, fields, scopes, expected) in [
        ("by metadata", &order[..], &[][..], lists, no),
        ("with the scope", &order, &[], "orders.write", "ok"),
        ("another tool", &list, &[], lists, "ok"),
        (
            "a header that lies counts for nothing",
            &order,
            &[NEW, CALL, ("mcp-name", "list_catalog")],
            lists,
            no,
        ),
        (
            "a resource",
            &[("method", "resources/read"), ("params.uri", "refund")],
            &[],
            "refunds",
            "ok",
        ),
        (
            "a resource that is called like a tool as well",
            &[
                ("method", "resources/read"),
                ("params.name", "list_catalog"),
                ("params.uri", "refund"),
            ],
            &[],
            lists,
            no,
        ),
        (
            "a tool that is called like a resource as well",
            &[
                ("method", "tools/call"),
                ("params.name", "place_order"),
                ("params.uri", "list_catalog"),
            ],
            &[],
            lists,
            no,
        ),
        ("a tool without a name", &[("method", "tools/call")], &[], lists, no),
        ("read to its end", &[list[0], list[1], ("status", "mcp_ok")], &[], lists, "ok"),
        ("read in part", &[list[0], list[1], ("status", "mcp_body_too_large")], &[], lists, no),
        (
            "read in part, by an older Envoy",
            &[list[0], list[1], ("is_exceeding_limit", "\u{1}")],
            &[],
            lists,
            no,
        ),
        (
            "read in part, says the limit but not the status",
            &[list[0], list[1], ("status", "mcp_ok"), ("is_exceeding_limit", "\u{1}")],
            &[],
            lists,
            no,
        ),
        (
            "passed on in spite of repeated members",
            &[list[0], list[1], ("status", "mcp_ok"), ("passthrough_reason", "mcp_duplicate_keys")],
            &[],
            lists,
            no,
        ),
        (
            "a method in what is no call to the filter",
            &[list[0], list[1], ("status", "mcp_ok"), ("is_mcp_request", "\0")],
            &[],
            lists,
            no,
        ),
        (
            "a call to the filter",
            &[list[0], list[1], ("status", "mcp_ok"), ("is_mcp_request", "\u{1}")],
            &[],
            lists,
            "ok",
        ),
        (
            "no call to the filter: headers do not count then",
            &[("is_mcp_request", "\0")],
            &[NEW, CALL, ("mcp-name", "list_catalog")],
            lists,
            no,
        ),
        (
            "not readable by the filter",
            &[("status", "mcp_parse_error")],
            &[NEW, CALL, ("mcp-name", "list_catalog")],
            lists,
            no,
        ),
        (
            "headers of a call, and none",
            &[],
            &[(":method", "GET"), NEW, CALL, ("mcp-name", "list_catalog")],
            "refunds",
            no,
        ),
        ("by headers", &[], &[NEW, CALL, ("mcp-name", "list_catalog")], lists, "ok"),
        ("by headers, the tool", &[], &[NEW, CALL, ("mcp-name", "place_order")], lists, no),
        ("encoded", &[], &[NEW, CALL, ("mcp-name", "=?base64?cGxhY2Vfb3JkZXI=?=")], lists, no),
        // Whatever is not certain has to meet every rule that it may be for.
        ("an old version", &[], &[OLD, CALL, ("mcp-name", "list_catalog")], lists, no),
        (
            "an old version, some scopes",
            &[],
            &[OLD, CALL, ("mcp-name", "list_catalog")],
            orders,
            no,
        ),
        ("an old version, all scopes", &[], &[OLD, CALL, ("mcp-name", "list_catalog")], all, "ok"),
        ("no version", &[], &[CALL, ("mcp-name", "list_catalog")], lists, no),
        ("no name", &[], &[NEW, CALL], lists, no),
        (
            "two names",
            &[],
            &[NEW, CALL, ("mcp-name", "list_catalog"), ("mcp-name", "a")],
            lists,
            no,
        ),
        ("nothing at all", &[], &[], lists, no),
        ("a stream of old clients", &[], &[(":method", "GET")], "catalog.read refunds", "ok"),
        ("in another case", &[], &[(":path", "/MCP")], all, "path_ambiguous"),
    ] {
        let bearer = format!("Bearer {}", token(json!({"scope": scopes})));
        let all = [(":method", "POST"), (":path", "/mcp"), ("authorization", &bearer)];
        let given = all.into_iter().filter(|(name, _)| !fields.iter().any(|(own, _)| own == name));
        let fields: Vec<_> = given.chain(fields.iter().copied()).collect();
        assert_eq!(outcome(&config, metadata, &fields), expected, "{case}");
    }
}

#[test]
fn what_may_be_a_guarded_call_passes_by_no_opening() {
    let config = shop(rules());
    let to = |path: &'static str| [(":path", path), (":method", "POST")];
    assert_eq!(outcome(&config, &[("method", "tools/list")], &to("/mcp")), "ok");
    assert_eq!(outcome(&config, &[], &to("/mcp")), "token_missing");
    let part = [("method", "tools/list"), ("status", "mcp_ok"), ("is_exceeding_limit", "\u{1}")];
    assert_eq!(outcome(&config, &part, &to("/mcp")), "token_missing", "read in part");
    assert_eq!(outcome(&config, &[], &to("/open")), "ok", "no rule for calls is for it");
    for last in [
        json!({"match": {"path": "/mcp"}, "bypass": true}),
        json!({"match": {}, "requires": {"allow_missing": true}}),
    ] {
        let mut rules = rules();
        rules[3] = last.clone();
        assert_eq!(outcome(&shop(rules), &[], &to("/mcp")), "token_missing", "{last}");
    }
}

/// A path that a service may read as that of a rule for calls is one of it too, whether it
/// is certain what is called or not.
#[test]
fn a_path_that_may_be_read_as_a_guarded_one() {
    let config = shop(json!([
        {"match": {"path": "/mcp", "mcp": {"names": ["place_order"]}},
            "requires": {"scopes_all": ["orders.write"]}},
        {"match": {"path_prefix": "/x/mcp", "mcp": {"names": ["place_order"]}},
            "requires": {"scopes_all": ["orders.write"]}},
    ]));
    let order = [("method", "tools/call"), ("params.name", "place_order")];
    let bearer = format!("Bearer {}", token(json!({"scope": "catalog.read"})));
    let paths =
        ["/mcp", "/MCP", "/mcp.", "/mcp%20", "/mcp%3fx", "/mc\u{ff50}", "/x/mcp./a", "/X/mcp/a"];
    for path in paths {
        for metadata in [&order[..], &[]] {
            let fields = [(":method", "POST"), (":path", path), ("authorization", &*bearer)];
            let found = outcome(&config, metadata, &fields);
            assert_ne!(found, "ok", "{path} {metadata:?}");
        }
    }
}
