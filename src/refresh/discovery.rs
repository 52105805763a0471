//! OpenID Connect Discovery: finds an issuer's keys.

use std::fmt;

use crate::http::log_word;
use crate::json::{self, JsonError};
use crate::token::Issuer;

/// Reads a discovery document (OpenID Connect Discovery 1.0 section 4.2): the
/// path and query of its `jwks_uri`.
///
/// Only that part is used. The request goes to a service that the configuration
/// names, so no document can send the filter elsewhere.
pub(super) fn jwks_path(document: &[u8], issuer: &Issuer) -> Result<String, DiscoveryError> {
    let document = json::parse_object(document).map_err(DiscoveryError::Json)?;
    let text = |name: &str| document.get(name).and_then(serde_json::Value::as_str);
    // Section 4.3: the issuer must be exactly the requested one; for a multi-tenant
    // issuer, one of them or the template of all.
    let named = text("issuer").unwrap_or_default();
    if !issuer.may_be(named) {
        let (found, expected) = (log_word(named), issuer.text().to_owned());
        return Err(DiscoveryError::AnotherIssuer { found, expected });
    }
    let uri = text("jwks_uri").ok_or(DiscoveryError::NoJwksUri)?;
    let rest = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
    let path = rest.and_then(|rest| rest.find('/').and_then(|at| rest.get(at..)));
    let is_plain = |path: &&str| path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    path.filter(is_plain).map(str::to_owned).ok_or(DiscoveryError::BadJwksUri)
}

/// Why a discovery document yields no location of keys.
#[derive(Debug)]
pub enum DiscoveryError {
    /// It is not an acceptable JSON object.
    Json(JsonError),
    /// Its `issuer` is not the provider's.
    AnotherIssuer {
        /// The issuer in the document.
        found: String,
        /// The provider's.
        expected: String,
    },
    /// It has no `jwks_uri`.
    NoJwksUri,
    /// Its `jwks_uri` is not a URL with a path.
    BadJwksUri,
}

impl fmt::Display for DiscoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "discovery document: not acceptable JSON: {error}"),
            Self::AnotherIssuer { found, expected } => write!(
                f,
                "discovery document: issuer {found:?} is not {expected:?}, the provider's"
            ),
            Self::NoJwksUri => f.write_str("discovery document: no jwks_uri"),
            Self::BadJwksUri => {
                f.write_str("discovery document: jwks_uri is not a URL with a path")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // RFC 8725 section 3.10 (R54)
    #[test]
    fn documents() {
        let issuer = "https://id.example";
        let document = |uri: &str| json!({"issuer": issuer, "jwks_uri": uri}).to_string();
        for (case, document, expected) in [
            ("usual", document("https://id.example/keys?v=1"), Ok("/keys?v=1")),
            ("another host", document("https://www.keys.example:8443/a/b"), Ok("/a/b")),
            ("plain HTTP", document("http://id.internal/keys"), Ok("/keys")),
            ("no path", document("https://id.example"), Err("BadJwksUri")),
            ("another scheme", document("file:///etc/passwd"), Err("BadJwksUri")),
            ("a line break", document("https://id.example/a\r\nx: y"), Err("BadJwksUri")),
            ("a fragment", document("https://id.example/a#b"), Err("BadJwksUri")),
            ("none", json!({"issuer": issuer}).to_string(), Err("NoJwksUri")),
            (
                "another issuer",
                json!({"issuer": "https://id.example/", "jwks_uri": "https://x/y"}).to_string(),
                Err("AnotherIssuer"),
            ),
            ("no object", "[]".to_owned(), Err("Json")),
        ] {
            let issuer = Issuer::parse(issuer).unwrap();
            let path = jwks_path(document.as_bytes(), &issuer);
            let path = path.as_deref().map_err(|error| format!("{error:?}"));
            match expected {
                Ok(expected) => assert_eq!(path, Ok(expected), "{case}"),
                Err(variant) => assert!(path.unwrap_err().starts_with(variant), "{case}"),
            }
        }
    }
}
