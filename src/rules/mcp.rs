//! Rules by what a call of the Model Context Protocol is for.
//!
//! What a call is for stands in its body, which Envoy's `mcp` filter reads and leaves as
//! metadata. Headers say the same, but old clients may say anything there, and their
//! servers do not compare: they count only in the versions in which servers must.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::http::{Field, RequestHead, is_spelled};

/// `match.mcp`. Empty lists ask nothing.
#[derive(Debug)]
pub struct McpCondition {
    /// Methods, of which it is one.
    pub methods: Vec<String>,
    /// Tools, prompts or resources, of which it is for one.
    pub names: Vec<String>,
}

/// What a request calls, as far as it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum McpCall {
    /// Not certain: it may be any call.
    #[default]
    Unknown,
    /// This method, of this tool, prompt or resource.
    Known {
        /// The method.
        method: String,
        /// What it is for, if for something.
        name: Option<String>,
    },
}

impl McpCondition {
    /// Whether a call meets it; `None` if that is not certain.
    pub fn holds(&self, call: &McpCall) -> Option<bool> {
        let McpCall::Known { method, name } = call else { return None };
        let is_method = self.methods.is_empty() || self.methods.contains(method);
        let is_name = || name.as_ref().is_some_and(|name| self.names.contains(name));
        Some(is_method && (self.names.is_empty() || is_name()))
    }
}

/// The first version in which servers refuse headers that are not as the body.
const FIRST_VERSION: &str = "2026-07-28";

/// The headers that count.
pub(super) const MCP_HEADERS: [&str; 3] = ["mcp-protocol-version", "mcp-method", "mcp-name"];

/// Methods that are for something: without its name it is not certain what they do.
fn is_named(method: &str) -> bool {
    ["tools/call", "prompts/get", "resources/read"].contains(&method)
}

impl McpCall {
    /// What Envoy's `mcp` filter read, as its metadata tells it by `path`; `None` where
    /// there was no such filter, or it read nothing.
    ///
    /// Of a body that is too long it may have read the beginning only, and what it does
    /// not take for a call may be one to the service.
    pub fn of_metadata(text: impl Fn(&[&str]) -> Option<String>) -> Option<Self> {
        let Some(method) = text(&["method"]) else {
            let left = [["status"], ["is_mcp_request"]];
            return left.iter().any(|path| text(path).is_some()).then_some(Self::Unknown);
        };
        let is_read = match text(&["status"]) {
            Some(status) => status == "mcp_ok",
            None => text(&["is_exceeding_limit"]).is_none(),
        };
        // A call may hold the name of another kind beside its own.
        let member = if method.starts_with("resources/") { "uri" } else { "name" };
        let name = text(&["params", member]).filter(|name| !name.is_empty());
        let is_certain = is_read && !method.is_empty() && (name.is_some() || !is_named(&method));
        Some(if is_certain { Self::Known { method, name } } else { Self::Unknown })
    }

    /// What the headers say, where they count: of calls, which are made by POST alone.
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

/// A header that is there once at most, in no other spelling.
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
