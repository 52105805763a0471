//! A request path with claims in it, such as `/users/{sub}`.

use crate::http::path_segment;
use crate::json::{Document, Json};
use crate::token::{ClaimTemplate, TemplateError};

/// A path in which parts in braces are claims of the token.
#[derive(Debug, PartialEq)]
pub struct PathTemplate(ClaimTemplate);

impl PathTemplate {
    /// Parses a template; `None` unless it starts with `/` and its braces match.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return None;
        }
        ClaimTemplate::parse(text).map(Self)
    }

    /// The path for a token with these claims, each percent-encoded as one segment, so
    /// that no claim can lead elsewhere. Claims must be texts or numbers, and not dot
    /// segments.
    pub fn fill(&self, claims: &Document) -> Result<String, TemplateError> {
        self.0.fill(claims, |value| match value {
            Json::Text(text) | Json::Number(text) => path_segment(text),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parsing() {
        for (text, accepted) in [
            ("/users/{sub}", true),
            ("/me", true),
            ("/{tenant}/users/{sub}?full=1", true),
            ("users/{sub}", false),
            ("/users/{sub", false),
            ("/users/sub}", false),
            ("/users/{}", false),
            ("/users/{{sub}}", false),
            ("/a b", false),
            ("", false),
        ] {
            assert_eq!(PathTemplate::parse(text).is_some(), accepted, "{text}");
        }
    }

    #[test]
    fn filling() {
        let template = PathTemplate::parse("/t/{tenant}/{sub}").unwrap();
        let missing = |claim: &str| Err(TemplateError::Missing(claim.into()));
        let unusable = |claim: &str| Err(TemplateError::Unusable(claim.into()));
        for (case, claims, expected) in [
            ("plain", json!({"tenant": "acme", "sub": "alice"}), Ok("/t/acme/alice".to_owned())),
            ("encoded", json!({"tenant": "a/b", "sub": "é?"}), Ok("/t/a%2Fb/%C3%A9%3F".to_owned())),
            ("number", json!({"tenant": 7, "sub": "x"}), Ok("/t/7/x".to_owned())),
            ("absent", json!({"tenant": "acme"}), missing("sub")),
            ("null", json!({"tenant": null, "sub": "x"}), missing("tenant")),
            ("climbing", json!({"tenant": "..", "sub": "x"}), unusable("tenant")),
            ("empty", json!({"tenant": "", "sub": "x"}), unusable("tenant")),
            ("list", json!({"tenant": ["a"], "sub": "x"}), unusable("tenant")),
        ] {
            let claims = Document::of(claims.as_object().unwrap());
            assert_eq!(template.fill(&claims), expected, "{case}");
        }
    }
}
