//! Rules for calls of the Model Context Protocol.
//!
//! A call's method and target are in its body, which Envoy's `mcp` filter parses into
//! metadata. Headers repeat them, but in old protocol versions servers do not compare
//! them with the body, so headers count only in versions in which servers must.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::http::{Field, RequestHead, is_spelled};

/// `match.mcp`. An empty list is no condition.
#[derive(Debug)]
pub struct McpCondition {
    /// Accepted methods.
    pub methods: Vec<String>,
    /// Accepted tools, prompts or resources.
    pub names: Vec<String>,
}

/// The call of a request, as far as it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum McpCall {
    /// Uncertain: it may be any call.
    #[default]
    Unknown,
    /// This method, of this tool, prompt or resource.
    Known {
        /// The method.
        method: String,
        /// Its tool, prompt or resource, if any.
        name: Option<String>,
    },
}

impl McpCondition {
    /// Whether the condition holds for a call; `None` if that is uncertain.
    pub fn holds(&self, call: &McpCall) -> Option<bool> {
        let McpCall::Known { method, name } = call else { return None };
        let is_method = self.methods.is_empty() || self.methods.contains(method);
        let is_name = || name.as_ref().is_some_and(|name| self.names.contains(name));
        Some(is_method && (self.names.is_empty() || is_name()))
    }
}

/// The first version in which servers reject headers that differ from the body.
const FIRST_VERSION: &str = "2026-07-28";

/// The headers that are read.
pub(super) const MCP_HEADERS: [&str; 3] = ["mcp-protocol-version", "mcp-method", "mcp-name"];

/// Methods with a target: without its name their effect is uncertain.
fn is_named(method: &str) -> bool {
    ["tools/call", "prompts/get", "resources/read"].contains(&method)
}

impl McpCall {
    /// The call from the metadata of Envoy's `mcp` filter, read by path; `None` without
    /// such a filter, or if it parsed nothing.
    ///
    /// It may have parsed only the beginning of a long body, and the service may accept
    /// calls that the filter does not recognize.
    pub fn of_metadata(text: impl Fn(&[&str]) -> Option<String>) -> Option<Self> {
        let Some(method) = text(&["method"]) else {
            let left = [["status"], ["is_mcp_request"]];
            return left.iter().any(|path| text(path).is_some()).then_some(Self::Unknown);
        };
        // Older Envoys leave no status. Newer ones may leave `mcp_ok` beside the limit that
        // ended the reading, and a reason if they let pass what they would reject.
        let is_call = text(&["is_mcp_request"]).is_none_or(|flag| flag != "\0");
        let is_read = is_call
            && text(&["status"]).is_none_or(|status| status == "mcp_ok")
            && text(&["is_exceeding_limit"]).is_none()
            && text(&["passthrough_reason"]).is_none();
        // A call may contain the member of another kind beside its own.
        let member = if method.starts_with("resources/") { "uri" } else { "name" };
        let name = text(&["params", member]).filter(|name| !name.is_empty());
        let is_certain = is_read && !method.is_empty() && (name.is_some() || !is_named(&method));
        Some(if is_certain { Self::Known { method, name } } else { Self::Unknown })
    }

    /// The call from the headers, in versions where they count: only for POST, the method
    /// of all calls.
    pub fn of_headers(head: &RequestHead) -> Self {
        let known = || {
            if head.method() != b"POST" {
                return None;
            }
            let version = sole(head, "mcp-protocol-version").ok()??;
            let shape = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
            let is_date = version.bytes().map(shape).eq(*b"0000-00-00");
            if !is_date || version.as_str() < FIRST_VERSION {
                return None;
            }
            let method = sole(head, "mcp-method").ok()??;
            let name = sole(head, "mcp-name").ok()?.map(decoded);
            let name = match name {
                Some(name) => Some(name?),
                None => None,
            };
            let is_certain = name.is_some() || !is_named(&method);
            is_certain.then_some(Self::Known { method, name })
        };
        known().unwrap_or_default()
    }
}

/// The value of a header that occurs at most once, and in no other spelling.
fn sole(head: &RequestHead, name: &str) -> Result<Option<String>, ()> {
    let is_spelled = |field: &Field<'_>| is_spelled(name.as_bytes(), field.name);
    let mut fields = head.fields().filter(is_spelled);
    let Some(field) = fields.next() else { return Ok(None) };
    let is_plain = field.name.eq_ignore_ascii_case(name.as_bytes()) && fields.next().is_none();
    let text = std::str::from_utf8(field.value.trim_ascii()).map_err(|_| ())?;
    if is_plain && !text.is_empty() { Ok(Some(text.to_owned())) } else { Err(()) }
}

/// The text that `=?base64?...?=` stands for. A name that begins like this and is none may
/// be one to a lenient server.
fn decoded(text: String) -> Option<String> {
    let inner = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let Some(inner) = inner else { return (!text.starts_with("=?")).then_some(text) };
    String::from_utf8(BASE64_STANDARD.decode(inner).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_count_only_where_servers_compare_them() {
        const NEW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
        const CALL: (&str, &str) = ("mcp-method", "tools/call");
        for (case, fields, expected) in [
            ("honest", &[NEW, CALL, ("mcp-name", "a")][..], Some(("tools/call", Some("a")))),
            (
                "encoded",
                &[NEW, CALL, ("mcp-name", "=?base64?YQ==?=")],
                Some(("tools/call", Some("a"))),
            ),
            ("encoded, in capitals", &[NEW, CALL, ("mcp-name", "=?BASE64?YQ==?=")], None),
            ("encoded in another way", &[NEW, CALL, ("mcp-name", "=?utf-8?b?YQ==?=")], None),
            ("badly encoded", &[NEW, CALL, ("mcp-name", "=?base64?YQ=?=")], None),
            (
                "later",
                &[("mcp-protocol-version", "2027-01-01"), ("mcp-method", "tools/list")],
                Some(("tools/list", None)),
            ),
            ("old", &[("mcp-protocol-version", "2025-11-25"), CALL, ("mcp-name", "a")], None),
            ("no date", &[("mcp-protocol-version", "latest"), CALL, ("mcp-name", "a")], None),
            ("no version", &[CALL, ("mcp-name", "a")], None),
            (
                "two versions",
                &[NEW, ("mcp-protocol-version", "2025-11-25"), CALL, ("mcp-name", "a")],
                None,
            ),
            ("no method", &[NEW, ("mcp-name", "a")], None),
            ("no name", &[NEW, CALL], None),
            ("two names", &[NEW, CALL, ("mcp-name", "a"), ("mcp-name", "a")], None),
            ("another spelling", &[NEW, CALL, ("mcp-name", "a"), ("mcp_name", "b")], None),
            ("an empty name", &[NEW, CALL, ("mcp-name", "")], None),
        ] {
            let post = [(":method", "POST")];
            let head = RequestHead::new(post.iter().chain(fields).copied());
            let expected = expected.map_or(McpCall::Unknown, |(method, name)| McpCall::Known {
                method: method.to_owned(),
                name: name.map(str::to_owned),
            });
            assert_eq!(McpCall::of_headers(&head), expected, "{case}");
        }
    }
}
