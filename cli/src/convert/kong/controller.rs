//! What Kong's ingress controller makes of manifests, beside what a `kong.yml` would say.
//!
//! The controller writes for one of two flavours of the router. Those of
//! `traditional_compatible` rank each path of a route; for `expressions` the controller
//! ranks routes itself (internal/dataplane/translator/subtranslator of its sources). An
//! order is certain where both have it.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// What is known of a route that the controller made.
pub(super) struct Controller {
    /// Nobody passes, since something of it is not known.
    pub(super) is_closed: bool,
    /// Which requests are its own is not known either.
    pub(super) is_uncertain: bool,
    pub(super) order: Order,
}

/// The order of routes for the flavour `expressions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The default backend of an Ingress, after all others.
    Last,
    HttpRoute(OfHttpRoute),
    Ingress(OfIngress),
}

/// Fields, headers, whether no host has a wildcard, whether a path is Prefix, Exact or a
/// regular expression, the longest path.
pub(super) type OfIngress = (usize, usize, bool, bool, usize);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfHttpRoute {
    pub(super) hosts: Vec<String>,
    /// Exact, then regular expressions, then prefixes.
    pub(super) kind: u8,
    pub(super) length: usize,
    pub(super) has_method: bool,
    pub(super) headers: usize,
}

impl Order {
    /// Which one is tried first; equal where it is not certain.
    pub(super) fn compared(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Ingress(one), Self::Ingress(two)) => one.cmp(two),
            (Self::HttpRoute(one), Self::HttpRoute(two)) => one.compared(two),
            _ => self.position().cmp(&other.position()),
        }
    }

    const fn position(&self) -> u8 {
        match self {
            Self::Last => 0,
            Self::HttpRoute(_) => 1,
            Self::Ingress(_) => 2,
        }
    }
}

impl OfHttpRoute {
    fn compared(&self, other: &Self) -> Ordering {
        let rest = |it: &Self| (it.kind, it.length, it.has_method, it.headers);
        match self.hosts_are().zip(other.hosts_are()) {
            Some((one, two)) if one != two => one.cmp(&two),
            // Of different hosts each has a length of its own.
            Some(_) if self.hosts == other.hosts => rest(self).cmp(&rest(other)),
            _ => Ordering::Equal,
        }
    }

    /// None, with wildcards, without wildcards; `None` if some are of each.
    fn hosts_are(&self) -> Option<u8> {
        let wild = self.hosts.iter().filter(|host| host.contains('*')).count();
        match wild {
            _ if self.hosts.is_empty() => Some(0),
            0 => Some(2),
            wild if wild == self.hosts.len() => Some(1),
            _ => None,
        }
    }
}

/// A route that a manifest makes, before plugins are looked up.
pub(super) struct Made {
    /// The manifest, for its namespace.
    pub(super) place: String,
    pub(super) namespace: String,
    /// Its conditions as a `kong.yml` has them.
    pub(super) conditions: Map<String, Value>,
    /// The Services that it leads to, each with its namespace.
    pub(super) services: Vec<(String, String)>,
    /// The plugins that it names.
    pub(super) plugins: Vec<String>,
    pub(super) doubts: Doubts,
    pub(super) order: Order,
}

/// Why nobody passes.
#[derive(Clone, Default)]
pub(super) struct Doubts {
    pub(super) texts: Vec<String>,
    /// True if which requests are the route's own is in doubt.
    pub(super) of_requests: bool,
}

impl Doubts {
    /// Something that may refuse requests, or says that the route may not be there.
    pub(super) fn add(&mut self, text: impl ToString) {
        self.texts.push(text.to_string());
    }

    /// Something by which it may be for other requests than are known.
    pub(super) fn about_requests(&mut self, text: impl ToString) {
        self.add(text);
        self.of_requests = true;
    }

    pub(super) fn extend(&mut self, others: Self) {
        for text in others.texts {
            if !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
        self.of_requests |= others.of_requests;
    }
}
