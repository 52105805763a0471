//! Values used in several sections.

use std::collections::HashSet;
use std::hash::Hash;

use super::reader::{Fields, Node};
use crate::features::LeftOut;
use crate::http::{HeaderName, header_text};
use crate::keys::{Algorithm, AlgorithmSet};
use crate::network::Network;

/// The values that [`header_name`] accepts.
pub(super) const HEADER_NAME: &str = "a header name, such as x-user-country, and none that HTTP \
                                        itself needs, such as host";

pub(super) fn header_name(node: &Node<'_>) -> Option<HeaderName> {
    let name = node.value().as_str().and_then(|name| HeaderName::parse(name).ok());
    name.or_else(|| node.reject(HEADER_NAME))
}

/// The name of a cookie or a query parameter.
pub(super) fn token_name(node: &Node<'_>) -> Option<String> {
    let is_name = |name: &&str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$*+".contains(&b))
    };
    let name = node.value().as_str().filter(is_name).map(str::to_owned);
    name.or_else(|| node.reject("a name of letters, digits and -._~"))
}

/// One that is there twice.
pub(super) fn repeated<T: Clone + Eq + Hash>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut known = HashSet::new();
    all.into_iter().find(|it| !known.insert(it.clone()))
}

/// Text that can be sent in a header.
pub(super) fn printable(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    match header_text(text) {
        Ok(_) => Some(text.to_owned()),
        Err(_) => node.reject("text without control characters"),
    }
}

pub(super) fn seconds(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: u32,
    max: u32,
) -> Option<u32> {
    fields.or(name, default, |node| node.integer(0..=max))
}

/// Refuses an option that a provider of kind kong_jwt already sets.
pub(super) fn twice<T>(node: &Node<'_>, option: &str) -> Option<T> {
    let found = format_args!("{option} here and in the provider of the kind kong_jwt");
    node.reject_as(found, "one of the two")
}

/// Refuses what this build was made without.
pub(super) fn in_build<T>(node: &Node<'_>, proof: Result<T, &'static LeftOut>) -> Option<T> {
    let LeftOut { what, feature } = match proof {
        Ok(proof) => return Some(proof),
        Err(left_out) => left_out,
    };
    let found = format_args!("{what}, which this build was made without: feature {feature}");
    node.reject_as(found, "a build with that feature, or a configuration without this")
}

/// Refuses an algorithm that this build was made without.
pub(super) fn algorithm_in_build(node: &Node<'_>, algorithm: Algorithm) -> Option<Algorithm> {
    let Some(left_out) = algorithm.left_out() else { return Some(algorithm) };
    let feature = left_out.feature;
    let found = format_args!("{algorithm}, which this build was made without: feature {feature}");
    let has: AlgorithmSet = Algorithm::in_build().collect();
    node.reject_as(found, format_args!("a build with that feature; this one has {has}"))
}

/// The algorithms to accept.
pub(super) fn algorithms(node: &Node<'_>) -> Option<AlgorithmSet> {
    let accepted: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.name()).collect();
    let named = node.full_list(|item| {
        let algorithm = item.value().as_str().and_then(Algorithm::from_name);
        let algorithm = algorithm.or_else(|| item.reject_name(&accepted, accepted.join(" | ")))?;
        algorithm_in_build(item, algorithm)
    })?;
    let mixed = named.iter().any(|a| a.is_symmetric()) && named.iter().any(|a| !a.is_symmetric());
    if mixed {
        // A verifier that knows both can be made to take a public key for a
        // secret (RFC 8725 section 2.1).
        return node.reject_as("HS* beside others", "HS* only, or no HS*");
    }
    Some(named.into_iter().collect())
}

/// One scope (RFC 6749 section 3.3).
pub(super) fn scope(node: &Node<'_>) -> Option<String> {
    let is_scope = |text: &&str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    let scope = node.value().as_str().filter(is_scope).map(str::to_owned);
    scope.or_else(|| node.reject("one scope, without spaces"))
}

/// Trusted addresses.
pub(super) fn network(node: &Node<'_>) -> Option<Network> {
    let network = node.value().as_str().and_then(Network::parse);
    network.or_else(|| node.reject("an address or a network, such as 10.0.0.0/8"))
}
