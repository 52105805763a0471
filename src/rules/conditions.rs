//! A rule's conditions besides the path: method, host and headers.
//!
//! A rule must be selected by what the service will see. Where that is uncertain,
//! because a header came twice or the host is invalid, neither "it matches" nor "it
//! does not" is safe: the next rule may require less. Such a request is refused.

use super::mcp::McpCondition;
use crate::denial::Denial;
use crate::http::{Field, HeaderName, Marks, RequestHead};

/// The conditions of a rule. An empty list is no condition.
#[derive(Debug, Default)]
pub struct Conditions {
    /// Accepted methods, in upper case.
    pub methods: Vec<String>,
    /// Accepted hosts.
    pub hosts: Vec<HostPattern>,
    /// Conditions on header fields; all must hold.
    pub headers: Vec<HeaderCondition>,
    /// The condition on the MCP call; not part of [`Conditions::hold`].
    pub mcp: Option<McpCondition>,
}

/// A host or a domain, in lower case.
#[derive(Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// All subdomains of this one; `*.example.com` is below `example.com`.
    Below(String),
}

/// A condition on a header field.
#[derive(Debug)]
pub struct HeaderCondition {
    /// Its name.
    pub name: HeaderName,
    /// The condition on its value.
    pub test: HeaderTest,
}

/// A test of a header field.
#[derive(Debug)]
pub enum HeaderTest {
    /// Present.
    Present,
    /// Absent.
    Absent,
    /// Present once, with exactly this value.
    Equals(Vec<u8>),
}

/// Whether a condition holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    No,
    /// Readers may disagree.
    Unsure,
}

impl Conditions {
    /// True if all of them hold; a denial where readers may disagree.
    pub fn hold(&self, head: &RequestHead) -> Result<bool, Denial> {
        if self.methods.is_empty() && self.hosts.is_empty() && self.headers.is_empty() {
            return Ok(true);
        }
        let method = head.method();
        if !self.methods.is_empty() && !self.methods.iter().any(|own| own.as_bytes() == method) {
            return Ok(false);
        }
        let host = if self.hosts.is_empty() { Holds::Yes } else { self.host_holds(head) };
        let headers = self.headers.iter().map(|header| (header, header.holds(head)));
        let headers: Vec<_> = headers.collect();
        // A condition that certainly fails decides, whatever else is uncertain.
        if host == Holds::No || headers.iter().any(|(_, holds)| *holds == Holds::No) {
            return Ok(false);
        }
        if host == Holds::Unsure {
            return Err(Denial::HostAmbiguous);
        }
        match headers.iter().find(|(_, holds)| *holds == Holds::Unsure) {
            Some((header, _)) => Err(Denial::HeaderRepeated(header.name.as_str().to_owned())),
            None => Ok(true),
        }
    }

    fn host_holds(&self, head: &RequestHead) -> Holds {
        match head.authority() {
            None => Holds::Unsure,
            Some(authority) if self.hosts.iter().any(|host| host.matches(authority.host)) => {
                Holds::Yes
            }
            Some(_) => Holds::No,
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(own) => host.eq_ignore_ascii_case(own.as_bytes()),
            Self::Below(parent) => {
                let start = host.len().saturating_sub(parent.len());
                let (below, end) = host.split_at(start);
                end.eq_ignore_ascii_case(parent.as_bytes()) && matches!(below, [_, .., b'.'])
            }
        }
    }
}

impl HeaderCondition {
    /// Repeated fields form one list (RFC 9110 section 5.3), of which a service may use
    /// the first element, the last, or the whole; and a service may read `x_mode` as
    /// `x-mode`.
    fn holds(&self, head: &RequestHead) -> Holds {
        let name = self.name.as_str();
        let is_spelled = |field: &Field<'_>| self.name.is_spelled(field.name);
        let marked = head.marked(Marks::of(name.as_bytes()));
        let mut fields = marked.filter(is_spelled).peekable();
        if fields.peek().is_none() {
            return if matches!(self.test, HeaderTest::Absent) { Holds::Yes } else { Holds::No };
        }
        let is_own = head.has(name);
        match &self.test {
            HeaderTest::Present | HeaderTest::Absent if !is_own => Holds::Unsure,
            HeaderTest::Present => Holds::Yes,
            HeaderTest::Absent => Holds::No,
            HeaderTest::Equals(own) => {
                let fields: Vec<_> = fields.map(|field| field.value.trim_ascii()).collect();
                let mut elements =
                    fields.iter().flat_map(|value| value.split(|byte| *byte == b','));
                match fields.as_slice() {
                    [value] if value == own && is_own => Holds::Yes,
                    _ if fields.contains(&own.as_slice()) => Holds::Unsure,
                    _ if elements.any(|element| element.trim_ascii() == own) => Holds::Unsure,
                    _ => Holds::No,
                }
            }
        }
    }
}
