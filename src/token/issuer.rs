//! The `iss` of a provider's tokens.

use super::{ClaimPath, ClaimTemplate};
use crate::json::{Json, Members};

/// The `iss` of a provider's tokens: a single one, or one per tenant, named by a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    template: Option<ClaimTemplate>,
}

impl Issuer {
    /// Parses a configured issuer; `None` if its braces do not match.
    pub fn parse(text: &str) -> Option<Self> {
        let template =
            if text.contains(['{', '}']) { Some(ClaimTemplate::parse(text)?) } else { None };
        Some(Self { text: text.to_owned(), template })
    }

    /// The issuer as configured.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True if it stands for several issuers.
    pub const fn is_template(&self) -> bool {
        self.template.is_some()
    }

    /// The claims by which issuers differ; none if there is only one.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.template.iter().flat_map(ClaimTemplate::claims)
    }

    /// The issuer of a token with these claims; `None` if they name none.
    pub fn of<'a>(&self, claims: impl Into<Members<'a>>) -> Option<String> {
        let Some(template) = &self.template else { return Some(self.text.clone()) };
        let write =
            |value: Json<'_>| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        template.fill(claims, write).ok()
    }

    /// Whether `iss` in these claims names this issuer: compared byte for byte (RFC 8725
    /// section 3.8), after filling a template from the other claims.
    pub fn is_named_by<'a>(&self, claims: impl Into<Members<'a>>) -> bool {
        let claims = claims.into();
        let named = claims.get("iss").and_then(Json::as_str);
        match &self.template {
            None => named == Some(&self.text),
            Some(_) => named.is_some() && named == self.of(claims).as_deref(),
        }
    }

    /// The claims by which the tokens of `issuer` differ from those of other tenants; `None`
    /// if it is no tenant here.
    pub fn tenant<'a>(&self, issuer: &'a str) -> Option<Vec<(&ClaimPath, &'a str)>> {
        // As in `of`; and a template is the issuer of nobody.
        let is_name = |text: &str| !text.is_empty() && !text.contains(['{', '}']);
        let claims = self.template.as_ref()?.read(issuer)?;
        claims.iter().all(|(_, value)| is_name(value)).then_some(claims)
    }

    /// Whether a key that is for `named` may sign a token with these claims. Tenants have
    /// one key set, in which some keys are for one tenant only: Microsoft asks to compare
    /// ("validate the signing key issuer").
    pub fn admits_key<'a>(&self, named: Option<&str>, claims: impl Into<Members<'a>>) -> bool {
        let named = named.filter(|named| self.is_template() && !named.contains('{'));
        named.is_none_or(|named| claims.into().get("iss").and_then(Json::as_str) == Some(named))
    }

    /// Whether `issuer` may be one of its issuers, or the same template with other
    /// variable names, as in the metadata of a multi-tenant issuer.
    pub fn may_be(&self, issuer: &str) -> bool {
        match &self.template {
            None => self.text == issuer,
            Some(template) => template.may_be(issuer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    #[test]
    fn issuers_of_tenants() {
        let tenants = Issuer::parse("https://id.example/{tid}/v2.0").unwrap();
        for (case, claims, expected) in [
            ("its tenant", json!({"iss": "https://id.example/a/v2.0", "tid": "a"}), true),
            ("another tenant's", json!({"iss": "https://id.example/a/v2.0", "tid": "b"}), false),
            ("no tenant", json!({"iss": "https://id.example/a/v2.0"}), false),
            ("an empty tenant", json!({"iss": "https://id.example//v2.0", "tid": ""}), false),
            ("tenants", json!({"iss": "https://id.example/a/v2.0", "tid": ["a"]}), false),
            ("the template", json!({"iss": "https://id.example/{tid}/v2.0", "tid": "a"}), false),
            ("no issuer", json!({"tid": "a"}), false),
        ] {
            assert_eq!(tenants.is_named_by(claims.as_object().unwrap()), expected, "{case}");
        }
        for (issuer, expected) in [
            ("https://id.example/a/v2.0", true),
            ("https://id.example/{tenantid}/v2.0", true),
            ("https://id.example/a/v1.0", false),
            ("https://evil.example/a/v2.0", false),
            ("https://id.example/v2.0", false),
        ] {
            assert_eq!(tenants.may_be(issuer), expected, "{issuer}");
            let read = tenants.tenant(issuer);
            let is_tenant = expected && !issuer.contains('{');
            let claim = is_tenant.then(|| vec![(tenants.claims().next().unwrap(), "a")]);
            assert_eq!(read, claim, "{issuer}");
        }
        let claims = json!({"iss": "https://id.example/a/v2.0", "tid": "a"});
        for (named, expected) in [
            (None, true),
            (Some("https://id.example/{tenantid}/v2.0"), true),
            (Some("https://id.example/a/v2.0"), true),
            (Some("https://id.example/b/v2.0"), false),
            (Some(""), false),
        ] {
            let admits = tenants.admits_key(named, claims.as_object().unwrap());
            assert_eq!(admits, expected, "{named:?}");
        }
        assert!(Issuer::parse("https://id.example/{tid").is_none());
        let one = Issuer::parse("https://id.example").unwrap();
        assert!(one.is_named_by(json!({"iss": "https://id.example"}).as_object().unwrap()));
        assert!(!one.is_named_by(json!({"iss": "https://id.example/"}).as_object().unwrap()));
        assert!(!one.is_named_by(&Map::new()) && one.may_be("https://id.example"));
        assert_eq!(one.tenant("https://id.example"), None);
        assert!(one.admits_key(Some("another"), &Map::new()), "its set is its own");
    }
}
