//! `rules` and `policies`: the requirements of requests.

use std::rc::Rc;

use serde_json::Value;

use super::access::claim_rules;
use super::consumers::Consumers;
use super::overrides::{TokenBounds, overrides};
use super::problem::Problems;
use super::providers;
use super::reader::{Document, Node};
use super::values::{HEADER_NAME, header_name, scope};
use crate::binding::Bindings;
use crate::consumer::{Consumer, ConsumerDirectory};
use crate::http::Authority;
use crate::identity::IdentityHeaders;
use crate::rules::{
    Access, Anonymous, Conditions, HeaderCondition, HeaderTest, HostPattern, InvalidPattern,
    Matcher, McpCondition, PathPattern, Requirements, Rule,
};
use crate::token::{ActorRule, ProviderId};

/// The names that rules refer to; `None` where the section was invalid, since its
/// problems are already recorded.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// Names of providers.
    pub providers: Option<&'a [String]>,
    /// The consumers, if any.
    pub consumers: Option<Option<&'a Consumers>>,
    /// The providers whose tokens may be bound to a key.
    pub bindings: Option<&'a Bindings>,
    /// The bounds of every identity token.
    pub identity: Option<&'a TokenBounds>,
}

/// Requirements by policy name, sorted; `None` for invalid ones.
pub type Policies = Vec<(String, Option<Rc<Requirements>>)>;

/// Reads `policies`.
pub fn policies(node: &Node<'_>, names: Names<'_>) -> Option<Policies> {
    let policies = node.named(|_, node| requirements(node, names).map(Rc::new))?;
    let policies = policies.into_iter().map(|(name, policy)| (name.to_owned(), policy));
    let mut policies: Policies = policies.collect();
    policies.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Some(policies)
}

/// Reads `rules`.
pub fn rules(node: &Node<'_>, names: Names<'_>, policies: Option<&Policies>) -> Option<Vec<Rule>> {
    node.list(|item| rule(item, names, policies))
}

const MATCH: &str = "an object with path, path_prefix, path_starts_with or path_template, \
                     methods, hosts and headers";

fn rule(node: &Node<'_>, names: Names<'_>, policies: Option<&Policies>) -> Option<Rule> {
    let mut fields = node.conditions("an object with match")?;
    let matcher = fields.required("match", MATCH, matcher);
    let bypass = fields.or("bypass", false, Node::flag);
    let requires = fields.optional("requires", |node| requirements(node, names).map(Rc::new));
    let policy = fields.optional("policy", |node| policy(node, policies));
    let identity = fields.optional("identity", |node| overrides(node, names.identity));
    let node = fields.node().clone();
    fields.finish()?;
    const ONE: &str = "one of bypass, requires and policy";
    let access = match (bypass?, requires?, policy?) {
        (true, None, None) if matches!(identity, Some(Some(_))) => {
            return node.reject_as("both bypass and identity", "one of the two");
        }
        (true, None, None) => Access::Bypass,
        (true, Some(_), None) => return node.reject_as("both bypass and requires", ONE),
        (true, _, Some(_)) => return node.reject_as("both bypass and policy", ONE),
        (false, Some(_), Some(_)) => return node.reject_as("both requires and policy", ONE),
        (false, requires, policy) => Access::Requires(requires.or(policy).unwrap_or_default()),
    };
    Some(Rule { matcher: matcher?, access, identity: identity? })
}

fn policy(node: &Node<'_>, policies: Option<&Policies>) -> Option<Rc<Requirements>> {
    let name = node.text()?;
    let policies = policies?;
    let found = policies.binary_search_by(|(known, _)| known.as_str().cmp(name));
    match found.ok().and_then(|at| policies.get(at)) {
        Some((_, policy)) => policy.clone(),
        None => {
            let known: Vec<_> = policies.iter().map(|(known, _)| known.as_str()).collect();
            match known.as_slice() {
                [] => node.reject("one of policies, of which there are none"),
                known => {
                    node.reject_name(known, format_args!("one of policies: {}", known.join(", ")))
                }
            }
        }
    }
}

/// Validates a single `match`: for programs that write configurations.
pub fn check_match(matching: &Value) -> Result<(), Problems> {
    Document::check(matching, matcher)
}

/// Reads the conditions that select requests.
pub fn matcher(node: &Node<'_>) -> Option<Matcher> {
    const PATH: &str = "a path that starts with /, without a query, //, dot segments, ;, \\, *, { \
                        or an encoded slash; \
                        path_template is for patterns, such as /files/**";
    const TEMPLATE: &str = "a path such as /users/{id}/orders or /files/**";
    let mut fields = node.conditions(MATCH)?;
    let pattern = |accepted, parse: fn(&str) -> Result<PathPattern, InvalidPattern>| {
        move |node: &Node<'_>| {
            let text = node.text()?;
            parse(text).ok().or_else(|| node.reject(accepted))
        }
    };
    let exact = fields.optional("path", pattern(PATH, PathPattern::exact));
    let prefix = fields.optional("path_prefix", pattern(PATH, PathPattern::prefix));
    let beginning = fields.optional("path_starts_with", pattern(PATH, PathPattern::beginning));
    let template = fields.optional("path_template", pattern(TEMPLATE, PathPattern::template));
    let methods = fields.or("methods", Vec::new(), |node| node.full_list(method));
    let hosts = fields.or("hosts", Vec::new(), |node| node.full_list(host));
    let headers = fields.or("headers", Vec::new(), |node| node.full_list(header));
    let mcp = fields.optional("mcp", mcp);
    let node = fields.node().clone();
    fields.finish()?;
    let mut paths = [exact?, prefix?, beginning?, template?].into_iter().flatten();
    let path = paths.next();
    if paths.next().is_some() {
        return node.reject_as(
            "more than one path",
            "one of path, path_prefix, path_starts_with and path_template",
        );
    }
    let conditions = Conditions { methods: methods?, hosts: hosts?, headers: headers?, mcp: mcp? };
    Some(Matcher { path, conditions })
}

/// Conditions on MCP calls.
fn mcp(node: &Node<'_>) -> Option<McpCondition> {
    let mut fields = node.conditions("an object with methods or names")?;
    let text = |item: &Node<'_>| item.text().map(str::to_owned);
    let methods = fields.optional("methods", |node| node.full_list(text));
    let names = fields.optional("names", |node| node.full_list(text));
    let node = fields.node().clone();
    fields.finish()?;
    match (methods?, names?) {
        (None, None) => node.reject_as("nothing", "methods, such as tools/call, or names"),
        (methods, names) => Some(McpCondition {
            methods: methods.unwrap_or_default(),
            names: names.unwrap_or_default(),
        }),
    }
}

fn method(node: &Node<'_>) -> Option<String> {
    let is_method =
        |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    let method = node.value().as_str().filter(is_method).map(str::to_owned);
    method.or_else(|| node.reject("a method in upper case, such as GET"))
}

fn host(node: &Node<'_>) -> Option<HostPattern> {
    let text = node.value().as_str().unwrap_or_default().to_ascii_lowercase();
    let (parent, is_below) = match text.strip_prefix("*.") {
        Some(parent) => (parent, true),
        None => (text.as_str(), false),
    };
    let is_host = |host: &&str| {
        let authority = Authority::parse(host.as_bytes());
        authority.is_some_and(|authority| authority.host == host.as_bytes())
            && !(is_below && host.starts_with(['[', '.']))
    };
    match Some(parent).filter(is_host).map(str::to_owned) {
        Some(parent) if is_below => Some(HostPattern::Below(parent)),
        Some(host) => Some(HostPattern::Exact(host)),
        None => node.reject("a host such as api.example.com or *.example.com, without a port"),
    }
}

fn header(node: &Node<'_>) -> Option<HeaderCondition> {
    let mut fields = node.conditions("an object with name, and value or present")?;
    let name = fields.required("name", HEADER_NAME, header_name);
    let value = fields.optional("value", header_value);
    let present = fields.optional("present", Node::flag);
    let node = fields.node().clone();
    fields.finish()?;
    let test = match (value?, present?) {
        (Some(value), None) => HeaderTest::Equals(value),
        (None, Some(true)) => HeaderTest::Present,
        (None, Some(false)) => HeaderTest::Absent,
        (Some(_), Some(_)) => return node.reject_as("both value and present", "one of the two"),
        (None, None) => return node.reject_as("neither value nor present", "one of the two"),
    };
    Some(HeaderCondition { name: name?, test })
}

fn header_value(node: &Node<'_>) -> Option<Vec<u8>> {
    let is_value = |text: &&str| {
        !text.is_empty() && text.trim() == *text && !text.contains(|c: char| c.is_control())
    };
    let value = node.value().as_str().filter(is_value);
    match value {
        Some(value) => Some(value.as_bytes().to_vec()),
        None => node.reject("a header value, not empty, without spaces around it"),
    }
}

/// Requirements for a token and its consumer.
pub fn requirements(node: &Node<'_>, names: Names<'_>) -> Option<Requirements> {
    let mut fields = node.conditions("an object of requirements, such as scopes_all: [orders]")?;
    let audiences = fields.or("audiences", Vec::new(), Node::texts);
    let providers = fields.or("providers", Vec::new(), |node| {
        node.list(|item| providers::reference(item, names.providers))
    });
    let scopes_all = fields.or("scopes_all", Vec::new(), |node| node.list(scope));
    let scopes_any = fields.or("scopes_any", Vec::new(), |node| node.list(scope));
    let consumers = fields.or("consumers", Vec::new(), |node| {
        let providers = providers.as_deref()?;
        node.list(|item| consumer(item, names, providers))
    });
    let groups_any = fields.or("groups_any", Vec::new(), Node::texts);
    let groups_none = fields.or("groups_none", Vec::new(), Node::texts);
    let bound = fields.or("bound", false, |node| match node.flag()? {
        true if !may_be_bound(names.bindings, providers.as_deref()) => {
            node.reject_as("true, and no provider with binding", "binding in a provider, or false")
        }
        flag => Some(flag),
    });
    let actor = fields.or("actor", ActorRule::default(), actor);
    let claims = fields.or("claims", Vec::new(), claim_rules);
    let allow_missing = fields.or("allow_missing", false, Node::flag);
    let invalid_as_missing = fields.or("invalid_as_missing", false, |node| match node.flag()? {
        true if allow_missing == Some(false) => node
            .reject_as("true without allow_missing", "true beside allow_missing: true, or false"),
        flag => Some(flag),
    });
    fields.finish()?;
    let anonymous = if allow_missing? {
        Some(Rc::new(anonymous(node, names.consumers.flatten())?))
    } else {
        None
    };
    Some(Requirements {
        audiences: audiences?,
        providers: providers?,
        scopes_all: scopes_all?,
        scopes_any: scopes_any?,
        consumers: consumers?,
        groups_any: groups_any?,
        groups_none: groups_none?,
        bound: bound?,
        actor: actor?,
        claims: claims?,
        anonymous,
        invalid_as_missing: invalid_as_missing?,
    })
}

/// Whether a token of one of these providers, or of any, may be bound to a key. If that
/// is unknown, its problems are already recorded.
fn may_be_bound(bindings: Option<&Bindings>, providers: Option<&[ProviderId]>) -> bool {
    match (bindings, providers) {
        (Some(bindings), Some([])) => !bindings.is_empty(),
        (Some(bindings), Some(own)) => own.iter().any(|provider| bindings.of(*provider).is_some()),
        _ => true,
    }
}

/// The condition on actors for the subject: on the outermost one.
fn actor(node: &Node<'_>) -> Option<ActorRule> {
    let mut fields = node.conditions("an object with client_id, sub or max_depth")?;
    let client_ids = fields.optional("client_id", |node| node.full_list(|item| item.text()));
    let subjects = fields.optional("sub", |node| node.full_list(|item| item.text()));
    let max_depth = fields.optional("max_depth", |node| node.integer(1..=16));
    let node = fields.node().clone();
    fields.finish()?;
    let (client_ids, subjects, max_depth) = (client_ids?, subjects?, max_depth?);
    if client_ids.is_none() && subjects.is_none() && max_depth.is_none() {
        return node.reject_as("nothing", "client_id, sub or max_depth");
    }
    let owned = |names: Option<Vec<&str>>| -> Vec<String> {
        names.into_iter().flatten().map(str::to_owned).collect()
    };
    let default = ActorRule::default();
    let max_depth = max_depth.and_then(|depth| usize::try_from(depth).ok());
    Some(ActorRule {
        client_ids: owned(client_ids),
        subjects: owned(subjects),
        max_depth: max_depth.unwrap_or(default.max_depth),
    })
}

/// A consumer by its name, which must be unique among the consumers of `providers`.
fn consumer(node: &Node<'_>, names: Names<'_>, providers: &[ProviderId]) -> Option<String> {
    const ACCEPTED: &str = "the key of one of consumers.entries, or of one without a key its \
                            username";
    let name = node.text()?;
    let consumers = names.consumers?;
    let directory = consumers.map(|consumers| &consumers.directory);
    let count = |providers| consumers.map_or(0, |consumers| consumers.count(name, providers));
    match (count(providers), count(&[])) {
        (1, _) | (_, 1) => Some(name.to_owned()),
        // It may be one of the host's consumers.
        (0, 0) if directory.is_some_and(ConsumerDirectory::queries_host) => Some(name.to_owned()),
        (_, 0) => node.reject(ACCEPTED),
        (_, several) => node.reject_as(
            format_args!("{name:?}, the name of {several} of consumers.entries"),
            "the name of one of them: list in requires.providers the providers of the one that \
             is meant",
        ),
    }
}

/// The consumer announced for requests without a token.
pub fn anonymous(node: &Node<'_>, consumers: Option<&Consumers>) -> Option<Anonymous> {
    let anonymous = consumers.and_then(|consumers| consumers.anonymous.as_ref());
    let consumer = match anonymous {
        Some(consumer) => consumer,
        None => &Consumer::default(),
    };
    let fields = IdentityHeaders::new(Vec::new()).anonymous(consumer);
    match fields {
        Ok(fields) => Some(Anonymous::new(fields)),
        Err(error) => node.reject_as(error, "printable names of consumers"),
    }
}
