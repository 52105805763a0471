//! `providers.*.logout`: how an issuer's logout tokens are applied.

use super::reader::Node;
use crate::signals::RevokeBy;

/// `logout` of a provider: the client ids, and what is revoked.
pub type Logout = (Vec<String>, RevokeBy);

/// Reads `logout` of a provider.
pub fn logout(node: &Node<'_>) -> Option<Logout> {
    let mut fields = node.fields()?;
    const IDS: &str = "a list of client ids: aud of logout tokens";
    let client_ids = fields
        .required("client_ids", IDS, |node| node.full_list(|item| item.text().map(str::to_owned)));
    let revoke = fields.or("revoke", RevokeBy::default(), revoke_by);
    fields.finish()?;
    Some((client_ids?, revoke?))
}

/// Which tokens a logout or an event revokes.
pub fn revoke_by(node: &Node<'_>) -> Option<RevokeBy> {
    let ways = [("sid", RevokeBy::SessionId), ("sub", RevokeBy::Subject), ("both", RevokeBy::Both)];
    node.one_of(&ways)
}
