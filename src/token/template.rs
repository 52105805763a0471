//! Texts with claims in them, such as `/users/{sub}`.

use super::ClaimPath;
use crate::json::{Json, Members};

/// A text in which parts in braces are claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Claim(ClaimPath),
}

/// Why a template cannot be filled; the claim.
#[derive(Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// The claim is missing.
    Missing(String),
    /// Its value cannot be used in such a text.
    Unusable(String),
}

impl ClaimTemplate {
    /// Parses a template; `None` if its braces do not match.
    pub fn parse(text: &str) -> Option<Self> {
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

    /// The claims in it, in order.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.0.iter().filter_map(|part| match part {
            Part::Claim(claim) => Some(claim),
            Part::Text(_) => None,
        })
    }

    /// The text for these claims, each converted by `write`; `None` from that means a
    /// value that cannot be used here.
    pub fn fill<'a>(
        &self,
        members: impl Into<Members<'a>>,
        write: impl Fn(Json<'a>) -> Option<String>,
    ) -> Result<String, TemplateError> {
        let members = members.into();
        let mut filled = String::with_capacity(64);
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Claim(claim) => {
                    let found = claim.find(members);
                    let value = found.ok_or_else(|| TemplateError::Missing(claim.to_string()))?;
                    let text = write(value);
                    filled
                        .push_str(&text.ok_or_else(|| TemplateError::Unusable(claim.to_string()))?);
                }
            }
        }
        Ok(filled)
    }

    /// Whether some values of its claims could result in this text.
    pub fn may_be(&self, text: &str) -> bool {
        self.read(text).is_some()
    }

    /// Values of its claims that result in this text, each as short as possible; `None` if
    /// there are none.
    pub fn read<'a>(&self, text: &'a str) -> Option<Vec<(&ClaimPath, &'a str)>> {
        let mut texts = self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Claim(_) => None,
        });
        let mut rest = text.strip_prefix(texts.next()?)?;
        let mut values = Vec::new();
        let mut claims = self.claims().peekable();
        while let (Some(claim), Some(after)) = (claims.next(), texts.next()) {
            let value;
            (value, rest) = match claims.peek() {
                Some(_) => rest.split_once(after)?,
                None => (rest.strip_suffix(after)?, ""),
            };
            values.push((claim, value));
        }
        rest.is_empty().then_some(values)
    }
}
