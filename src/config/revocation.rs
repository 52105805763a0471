//! `revocation`: valid tokens that are not accepted.

use super::reader::Node;
use super::rules::{self, Names};
use super::services::{self, Services, own_path};
use super::signals;
use crate::revocation::{FailureMode, FeedEndpoint, RevocationEndpoint, RevocationSettings};
use crate::time::Span;

/// Reads `revocation`.
pub fn read(
    node: &Node<'_>,
    services: Option<&Services>,
    names: Names<'_>,
) -> Option<(RevocationSettings, signals::Configured)> {
    let mut fields = node.fields()?;
    let feed = fields.optional("feed", |node| feed(node, services));
    let allowlist = fields.optional("allowlist", |node| self::feed(node, services));
    let endpoint = fields.optional("endpoint", |node| endpoint(node, names));
    let modes = [("deny", FailureMode::Deny), ("allow", FailureMode::Allow)];
    let failure_mode = fields.or("failure_mode", FailureMode::Deny, |node| node.one_of(&modes));
    let max_entries = fields.or("max_entries", 100_000, |node| node.integer(1..=1_000_000));
    let ledger = fields.optional("ledger", ledger);
    let logout_path = fields.optional("logout_path", signals::logout_path);
    let events = fields.or("events", signals::Events::default(), |node| {
        signals::events(node, services, names.providers)
    });
    let node = fields.node().clone();
    fields.finish()?;
    let (feed, allowlist, endpoint) = (feed?, allowlist?, endpoint?);
    let signals = events?.with(logout_path?);
    if feed.is_none() && allowlist.is_none() && endpoint.is_none() && signals.is_empty() {
        let accepted = "feed, allowlist, endpoint, logout_path or events";
        return node.reject_as("no source of entries", accepted);
    }
    let settings = RevocationSettings {
        feed,
        allowlist,
        endpoint,
        failure_mode: failure_mode?,
        max_entries: max_entries? as usize,
        ledger: ledger?,
    };
    Some((settings, signals))
}

/// A name in plain characters, so that different names never look equal.
fn ledger(node: &Node<'_>) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte);
    let is_name = |name: &&str| (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    let name = node.value().as_str().filter(is_name).map(str::to_owned);
    name.or_else(|| node.reject("a name of letters, digits and -._:/, up to 64 of them"))
}

fn feed(node: &Node<'_>, services: Option<&Services>) -> Option<FeedEndpoint> {
    let mut fields = node.fields()?;
    let service = services::reference(&mut fields, "service", services);
    let path = fields.required("path", "a path that starts with /", services::path);
    let poll = fields.or("poll_seconds", 10, |node| node.integer(1..=3600));
    let max_stale = fields.or("max_stale_seconds", 300, |node| node.integer(1..=86_400));
    let node = fields.node().clone();
    fields.finish()?;
    let (poll, max_stale) = (poll?, max_stale?);
    if max_stale <= poll {
        return node.reject_as(
            format_args!("max_stale_seconds {max_stale} with poll_seconds {poll}"),
            "max_stale_seconds above poll_seconds: a feed is as old as its latest poll",
        );
    }
    Some(FeedEndpoint {
        service: service?,
        path: path?,
        poll: Span::from_secs(poll),
        max_stale: Span::from_secs(max_stale),
    })
}

/// The default path of the revocation endpoint.
const DEFAULT_PATH: &str = "/.well-known/gatepass/revocations";

fn endpoint(node: &Node<'_>, names: Names<'_>) -> Option<RevocationEndpoint> {
    const WHO: &str =
        "who may revoke: providers, scopes, consumers, groups or claims, of which at least one";
    let mut fields = node.fields()?;
    let path = fields.or("path", DEFAULT_PATH.to_owned(), own_path);
    let requires = fields.required("requires", WHO, |node| {
        let requires = rules::requirements(node, names)?;
        if requires.anonymous.is_some() || requires.admits_any_token() {
            return node.reject_as("what anybody can meet", WHO);
        }
        Some(requires)
    });
    fields.finish()?;
    Some(RevocationEndpoint { path: path?, requires: requires? })
}
