//! `limits`.

use super::reader::Node;
use crate::pipeline::Limits;
use crate::rules::PathReaders;

/// The defaults.
pub(super) const DEFAULT: Limits = Limits {
    max_token_bytes: 8192,
    token_cache_entries: 10_000,
    token_cache_bytes: 67_108_864,
    max_reply_bytes: 262_144,
    max_login_bytes: 65_536,
    max_identity_bytes: 7168,
    end_streams: false,
    paths: PathReaders { allow_ambiguous: false, are_case_sensitive: false },
};

/// Reads `limits`.
pub(super) fn read(node: &Node<'_>) -> Option<Limits> {
    let mut fields = node.fields()?;
    let mut size = |name, default: usize, range| {
        let read = |node: &Node<'_>| node.integer(range).map(|number| number as usize);
        fields.or(name, default, read)
    };
    let max_token_bytes = size("max_token_bytes", DEFAULT.max_token_bytes, 256..=65_536);
    let token_cache_entries =
        size("token_cache_entries", DEFAULT.token_cache_entries, 0..=1_000_000);
    let token_cache_bytes =
        size("token_cache_bytes", DEFAULT.token_cache_bytes, 1_048_576..=805_306_368);
    let max_reply_bytes = size("max_reply_bytes", DEFAULT.max_reply_bytes, 1024..=16_777_216);
    let max_login_bytes = size("max_login_bytes", DEFAULT.max_login_bytes, 1024..=16_777_216);
    let max_identity_bytes =
        size("max_identity_bytes", DEFAULT.max_identity_bytes, 1024..=1_048_576);
    let allow_ambiguous_paths = fields.or("allow_ambiguous_paths", false, Node::flag);
    let case_sensitive_paths = fields.or("case_sensitive_paths", false, Node::flag);
    let end_streams = fields.or("end_streams", false, Node::flag);
    fields.finish()?;
    Some(Limits {
        max_token_bytes: max_token_bytes?,
        token_cache_entries: token_cache_entries?,
        token_cache_bytes: token_cache_bytes?,
        max_reply_bytes: max_reply_bytes?,
        max_login_bytes: max_login_bytes?,
        max_identity_bytes: max_identity_bytes?,
        end_streams: end_streams?,
        paths: PathReaders {
            allow_ambiguous: allow_ambiguous_paths?,
            are_case_sensitive: case_sensitive_paths?,
        },
    })
}
