//! A request path with claims in it, such as `/users/{sub}`.

use serde_json::Value;

use crate::http::path_segment;
use crate::token::{ClaimPath, Claims};

/// A path whose parts in braces are claims of the token.
#[derive(Debug, PartialEq)]
pub struct PathTemplate(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Claim(ClaimPath),
}

/// Why a token cannot fill a template; the claim.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It has no such claim.
    Missing(String),
    /// The claim is not text or a number, or would climb in the path.
    Unusable(String),
}

impl PathTemplate {
    /// Reads a template; `None` unless it starts with `/` and its braces pair.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.starts_with('/') || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (claim, after) = after.split_once('}')?;
            if claim.is_empty() || claim.contains('{') || before.contains('}') {
                return None;
            }
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Claim(ClaimPath::parse(claim)?));
            rest = after;
        }
        if rest.contains('}') {
            return None;
        }
        parts.push(Part::Text(rest.to_owned()));
        Some(Self(parts))
    }

    /// The path for a token with these claims, each percent-encoded as one
    /// segment, so that no claim can lead elsewhere.
    pub fn fill(&self, claims: &Claims) -> Result<String, TemplateError> {
        let (mut path, members) = (String::new(), claims.members());
        for part in &self.0 {
            let claim = match part {
                Part::Text(text) => {
                    path.push_str(text);
                    continue;
                }
                Part::Claim(claim) => claim,
            };
            let text = match claim.find(&members) {
                None => return Err(TemplateError::Missing(claim.to_string())),
                Some(Value::String(text)) => path_segment(text),
                Some(Value::Number(number)) => path_segment(&number.to_string()),
                Some(_) => None,
            };
            path.push_str(&text.ok_or_else(|| TemplateError::Unusable(claim.to_string()))?);
        }
        Ok(path)
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
            let claims = Claims::new(claims.as_object().unwrap().clone());
            assert_eq!(template.fill(&claims), expected, "{case}");
        }
    }
}
