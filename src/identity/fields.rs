//! The identity as header fields: Kong's names, the identity token, and claims that the
//! configuration exposes in plain text.

use std::borrow::Cow;
use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::authenticated::Authenticated;
use super::claims::ClaimSet;
use super::error::MintError;
use crate::consumer::{Consumer, TakenNames};
use crate::http::{HeaderName, KeptFields, KnownLayouts, NewFields, header_text};
use crate::json::{Json, Members};
use crate::overrides::{IdentityHeader, TemplateKey};
use crate::token::{ClaimPath, text};
use crate::user_info::UserClaimNames;

/// Which claims become headers: `claim_to_headers` in the configuration, and
/// Kong's consumer headers.
#[derive(Debug)]
pub struct IdentityHeaders {
    /// The configured headers.
    pub claims: Vec<ClaimHeader>,
    /// The names of configured consumers, which no other user may have.
    pub taken: TakenNames,
    names: KongNames,
    /// Of the fields rendered before: nearly all identities have one of few.
    known: RefCell<KnownLayouts>,
}

/// The sources of an identity's claims.
#[derive(Clone, Copy)]
pub(super) struct ClaimSources<'a> {
    /// The claims of the identity token.
    pub own: &'a ClaimSet<'a>,
    /// The claims of the public token.
    pub public: Members<'a>,
    /// Those from user info, if it was queried.
    pub by_user: Option<&'a Map<String, Value>>,
    /// The names of these.
    pub names: &'a UserClaimNames,
    /// Which of these the service needs.
    pub template: &'a TemplateKey,
}

impl<'a> ClaimSources<'a> {
    /// The claim for a header; only from user info if the claim comes from there.
    fn find(self, header: &ClaimHeader) -> Option<Json<'a>> {
        let path = &header.path;
        if self.names.decide(path) {
            return path.find_by(|name| self.of_user(name));
        }
        let copy = || self.own.get(&path.name()).filter(|_| header.is_copied);
        self.own.find(path).or_else(copy)
    }

    fn of_user(self, name: &str) -> Option<Json<'a>> {
        self.by_user?.get(name).filter(|_| self.template.keeps(name)).map(Json::from)
    }

    /// The username of a user without a consumer entry: from user info, if that maps the
    /// claim.
    fn username(self) -> Option<&'a str> {
        let is_by_user = USERNAME_CLAIMS.iter().any(|name| self.names.has(name));
        USERNAME_CLAIMS.into_iter().find_map(|name| {
            if is_by_user {
                return text(self.of_user(name));
            }
            text(self.own.get(name)).or_else(|| text(self.public.get(name)))
        })
    }
}

/// A header for a claim.
#[derive(Debug)]
pub struct ClaimHeader {
    /// The header.
    pub name: HeaderName,
    /// The claim of the identity token.
    pub path: ClaimPath,
    /// The format of the value.
    pub format: FieldFormat,
    /// Whether the claim is a copy of that of the public token: it has the whole path as its
    /// name then.
    pub is_copied: bool,
}

/// The format of a claim in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldFormat {
    /// Text as is, numbers and booleans as in JSON, lists as `Csv`.
    Text,
    /// The elements separated by commas; a comma in one is percent-encoded. A value that is
    /// not a list is one element.
    Csv,
    /// JSON.
    Json,
    /// JSON in base64 with padding.
    JsonBase64,
}

/// Claims with the username of a user without a consumer entry, in order of preference.
pub const USERNAME_CLAIMS: [&str; 2] = ["preferred_username", "username"];

/// The names of Kong's consumer headers (kong/constants.lua).
#[derive(Debug)]
struct KongNames {
    id: HeaderName,
    username: HeaderName,
    custom_id: HeaderName,
    groups: HeaderName,
    credential: HeaderName,
    anonymous: HeaderName,
    /// Set by Kong's acl plugin, after this gateway, from the groups that it gets from
    /// here. The plugin does not set it on every request and never removes a client's.
    authenticated_groups: HeaderName,
}

impl IdentityHeaders {
    /// Renders Kong's headers and these.
    pub fn new(claims: Vec<ClaimHeader>) -> Self {
        let names = KongNames {
            id: HeaderName::known("x-consumer-id"),
            username: HeaderName::known("x-consumer-username"),
            custom_id: HeaderName::known("x-consumer-custom-id"),
            groups: HeaderName::known("x-consumer-groups"),
            credential: HeaderName::known("x-credential-identifier"),
            anonymous: HeaderName::known("x-anonymous-consumer"),
            authenticated_groups: HeaderName::known("x-authenticated-groups"),
        };
        Self { claims, taken: TakenNames::default(), names, known: RefCell::default() }
    }

    /// Every header from which a client's value is removed, besides the identity token's.
    pub fn owned(&self) -> impl Iterator<Item = HeaderName> {
        let claims = self.claims.iter().map(|claim| claim.name.clone());
        self.of_kong().chain([self.names.authenticated_groups.clone()]).chain(claims)
    }

    /// The Kong headers that are set here, so no claim may use them.
    pub fn of_kong(&self) -> impl Iterator<Item = HeaderName> {
        let KongNames { id, username, custom_id, groups, credential, anonymous, .. } = &self.names;
        [id, username, custom_id, groups, credential, anonymous].into_iter().cloned()
    }

    /// The header fields of an identity: `token` in `header`, and claims and consumer as
    /// plain text. A field without a value is not sent.
    pub(super) fn render(
        &self,
        header: &IdentityHeader,
        token: String,
        principal: &Authenticated,
        sources: ClaimSources<'_>,
    ) -> Result<NewFields, MintError> {
        let subject = principal.token().unique_subject();
        let value = header.value(token);
        // The token, four of a user or a consumer, groups, and each claim.
        let count = self.claims.len().saturating_add(6);
        let bytes = value.len().saturating_add(count.saturating_mul(32));
        let mut fields = NewFields::with_capacity(count, bytes);
        fields.push(&header.name, value.as_bytes());
        let mut put = |name: &HeaderName, claim: &str, value: Option<&str>| {
            let Some(value) = value else { return Ok(()) };
            let text = header_text(value).map_err(|_| MintError::Unprintable(claim.into()))?;
            if !text.is_empty() {
                fields.push(name, text.as_bytes());
            }
            Ok(())
        };
        match principal.consumer() {
            Some(consumer) => {
                put(&self.names.id, "consumer", consumer.id.as_deref())?;
                put(&self.names.username, "consumer", consumer.username.as_deref())?;
                put(&self.names.custom_id, "consumer", consumer.custom_id.as_deref())?;
                let credential = principal.token().credential().or(consumer.key.as_deref());
                put(&self.names.credential, "consumer", credential)?;
            }
            None => {
                let TakenNames { usernames, custom_ids, credentials } = &self.taken;
                let name = sources.username().filter(|name| !usernames.contains(name));
                put(&self.names.username, "preferred_username", name)?;
                let custom_id = Some(subject).filter(|subject| !custom_ids.contains(subject));
                put(&self.names.custom_id, "sub", custom_id)?;
                let credential = Some(subject).filter(|subject| !credentials.contains(subject));
                put(&self.names.credential, "sub", credential)?;
            }
        }
        let groups = principal.groups();
        if !groups.is_empty() {
            let groups =
                csv(groups.into_iter()).map_err(|_| MintError::Unprintable("groups".into()))?;
            fields.push(&self.names.groups, groups.as_bytes());
        }
        for claim in &self.claims {
            let value = sources.find(claim);
            if let Some(text) = value.and_then(|value| claim.format.write(value).transpose()) {
                let text = text.map_err(|_| MintError::Unprintable(claim.path.to_string()))?;
                fields.push(&claim.name, text.as_bytes());
            }
        }
        Ok(fields)
    }

    /// The fields, sharing what they have in common with those rendered before.
    pub(super) fn kept(&self, fields: NewFields) -> KeptFields {
        self.known.borrow_mut().share(fields)
    }

    /// The fields that announce an anonymous consumer.
    pub fn anonymous(&self, consumer: &Consumer) -> Result<KeptFields, MintError> {
        let Consumer { username, id, custom_id, groups, .. } = consumer;
        let unprintable = |_| MintError::Unprintable("consumer".into());
        let mut fields = NewFields::default();
        fields.push(&self.names.anonymous, b"true");
        let named = [
            (&self.names.username, username),
            (&self.names.id, id),
            (&self.names.custom_id, custom_id),
        ];
        for (name, value) in named {
            let text = header_text(value.as_deref().unwrap_or_default()).map_err(unprintable)?;
            if !text.is_empty() {
                fields.push(name, text.as_bytes());
            }
        }
        if !groups.is_empty() {
            let groups = csv(groups.iter().map(String::as_str))?;
            fields.push(&self.names.groups, groups.as_bytes());
        }
        Ok(fields.into())
    }
}

impl FieldFormat {
    /// Whether a header can carry this value; see [`FieldFormat::write`].
    pub(crate) fn can_write(self, value: Json<'_>) -> bool {
        self.write(value).is_ok()
    }

    /// The value as header text; `None` if there is nothing to send.
    fn write(self, value: Json<'_>) -> Result<Option<String>, MintError> {
        let unprintable = |_| MintError::Unprintable(String::new());
        let text = match (self, value) {
            (_, Json::Null) => return Ok(None),
            (Self::Json, value) => {
                header_text(&json_text(value)).map_err(unprintable)?.into_owned()
            }
            (Self::JsonBase64, value) => STANDARD.encode(value.to_string()),
            (_, Json::Array(items)) => {
                let words: Vec<_> = items.iter().map(plain).collect();
                csv(words.iter().map(|word| &**word))?
            }
            (Self::Csv, value) => csv(std::iter::once(&*plain(value)))?,
            (_, value) => header_text(&plain(value)).map_err(unprintable)?.into_owned(),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// Text without quotes; everything else as in JSON.
fn plain(value: Json<'_>) -> Cow<'_, str> {
    match value {
        Json::Text(text) => text.into(),
        other => json_text(other).into(),
    }
}

/// JSON in which every control character is escaped: JSON itself leaves DEL and
/// the C1 controls as they are.
fn json_text(value: Json<'_>) -> String {
    let escape = |char: char| match char {
        control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
        other => other.to_string(),
    };
    value.to_string().chars().map(escape).collect()
}

/// Elements separated by commas, so that no element can become two.
fn csv<'a>(items: impl Iterator<Item = &'a str>) -> Result<String, MintError> {
    let encode = |item: &str| {
        let text = header_text(item).map_err(|_| MintError::Unprintable(String::new()))?;
        Ok(text.replace(',', "%2C"))
    };
    let encoded: Result<Vec<String>, MintError> = items.map(encode).collect();
    Ok(encoded?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn formats() {
        use FieldFormat::{Csv, Json, JsonBase64, Text};
        for (case, format, value, expected) in [
            ("text", Text, json!("ES"), Some("ES")),
            ("text that is not ASCII", Text, json!("España"), Some("Espa%C3%B1a")),
            ("number", Text, json!(42), Some("42")),
            ("boolean", Text, json!(true), Some("true")),
            ("null", Text, Value::Null, None),
            ("empty text", Text, json!(""), None),
            ("list as text", Text, json!(["a", "b"]), Some("a,b")),
            ("list", Csv, json!(["a,b", "c", 1]), Some("a%2Cb,c,1")),
            ("empty list", Csv, json!([]), None),
            ("single as list", Csv, json!("a"), Some("a")),
            ("a comma in a single one", Csv, json!("a,b"), Some("a%2Cb")),
            ("a comma in an object", Csv, json!({"a": 1, "b": 2}), Some(r#"{"a":1%2C"b":2}"#)),
            ("a comma in a text", Text, json!("a,b"), Some("a,b")),
            ("JSON", Json, json!({"a": "é"}), Some(r#"{"a":"%C3%A9"}"#)),
            ("JSON escapes controls", Json, json!("a\r\nb"), Some(r#""a\r\nb""#)),
            (
                "JSON escapes all of them",
                Json,
                json!({"a": "\u{7f}\u{85}"}),
                Some(r#"{"a":"\u007f\u0085"}"#),
            ),
            ("an object as text", Text, json!({"a": "\u{85}"}), Some(r#"{"a":"\u0085"}"#)),
            ("base64", JsonBase64, json!(["a"]), Some("WyJhIl0=")),
        ] {
            assert_eq!(format.write((&value).into()).unwrap().as_deref(), expected, "{case}");
        }
        assert!(Text.write((&json!("a\r\nb")).into()).is_err(), "control characters");
        assert!(Csv.write((&json!(["a\nb"])).into()).is_err(), "control characters in a list");
    }
}
