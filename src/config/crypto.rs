//! `crypto`: selects where signatures are computed.

use std::rc::Rc;

use super::reader::Node;
use crate::keys::{Crypto, HostCrypto};

#[derive(Clone, Copy)]
enum Choice {
    Auto,
    Host,
    Module,
}

/// Reads `crypto`; the host is tried unless that is disabled.
pub fn read(node: Option<&Node<'_>>, host: Option<Rc<dyn HostCrypto>>) -> Option<Crypto> {
    let choices = [("auto", Choice::Auto), ("host", Choice::Host), ("module", Choice::Module)];
    let choice = node.map_or(Some(Choice::Auto), |node| node.one_of(&choices))?;
    let crypto = match (choice, host) {
        (Choice::Module, _) | (_, None) => Crypto::module(),
        (Choice::Auto | Choice::Host, Some(host)) => Crypto::on(host),
    };
    if matches!(choice, Choice::Host) && crypto.host_verifies().is_empty() {
        let found = "\"host\", on a host that verifies no signatures";
        return node?.reject_as(found, "auto | module");
    }
    Some(crypto)
}
