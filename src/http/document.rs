//! A document that the gateway publishes without requiring a token.

use sha2::{Digest, Sha256};

use super::{LocalReply, RequestHead};

/// A document and its entity tag.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    media_type: &'static str,
    body: String,
    /// Including the quotes.
    etag: String,
}

impl Document {
    /// A document of this media type.
    pub fn new(media_type: &'static str, body: String) -> Self {
        let digest = Sha256::digest(body.as_bytes());
        let (half, _) = digest.split_at(16);
        let etag = format!("\"{}\"", base16ct::lower::encode_string(half));
        Self { media_type, body, etag }
    }

    /// Its text.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The reply to a request for it (RFC 9110 section 13.1.2 for the entity tag).
    pub fn reply(&self, head: &RequestHead) -> LocalReply {
        if !matches!(head.method(), b"GET" | b"HEAD") {
            return LocalReply::new(405).with_header("allow", "GET, HEAD");
        }
        let is_known = head.values("if-none-match").any(|tags| {
            let tags = String::from_utf8_lossy(tags);
            tags.split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == self.etag)
        });
        let reply = LocalReply::new(if is_known { 304 } else { 200 })
            .with_header("cache-control", "public, max-age=300")
            .with_header("etag", self.etag.as_str());
        if is_known {
            return reply;
        }
        // The host omits the body of a reply to HEAD.
        reply.with_header("content-type", self.media_type).with_body(self.body.clone().into_bytes())
    }
}
