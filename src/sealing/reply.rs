//! Turns the reply of a login service into the reply for the client: tokens are sealed,
//! and nothing that may still contain one is passed on.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::keys::SealKeys;
use super::leak::{Pieces, ends_with_jose_header, has_jwt};
use super::login::Login;
use super::reading::{Search, TooMuch, hides_compressed};
use super::shape::{Shape, is_success, may_be_token};
use crate::callout::{Answer, CalloutFailure, CalloutReply};
use crate::http::{Field, LocalReply, is_bearer_token, percent_decode};
use crate::json::{self, JsonError};

/// How to seal the tokens of a reply, and what the host can send.
#[derive(Clone, Copy)]
pub struct SealedReply<'a> {
    /// The keys.
    pub keys: &'a SealKeys,
    /// Bytes that should differ for each reply.
    pub random: &'a [u8],
    /// The longest token that is accepted in later requests.
    pub max_token_bytes: usize,
    /// Whether a reply can have two fields of the same name.
    pub repeats_fields: bool,
}

/// Why a reply cannot be passed on. Contains no values.
#[derive(Debug)]
pub enum LoginFailure {
    /// No reply.
    NoAnswer(CalloutFailure),
    /// A status that is not the service's, or cannot be passed on.
    Status(u16),
    /// Compressed, or otherwise encoded.
    Encoded,
    /// Its media type is JSON, but it is not.
    Json(JsonError),
    /// The value is not a token; a JSON pointer or the name of a cookie.
    NotAToken(String),
    /// The sealed token exceeds the accepted length; its position.
    TooLarge(String),
    /// The body is of a kind in which a token could not be recognized.
    Unreadable,
    /// A header field contains something compressed; its name.
    Compressed(String),
    /// Searching it for tokens takes too long.
    TooMuch,
    /// A token remains in the body.
    TokenInBody,
    /// A token remains in a header field; its name.
    TokenInField(String),
    /// A header field cannot be passed on; its name.
    Field(String),
    /// More than one cookie, on a host that sends only one.
    Cookies,
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(failure) => failure.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Encoded => f.write_str("the reply has a content-encoding"),
            Self::Json(error) => write!(f, "not acceptable JSON: {error}"),
            Self::NotAToken(at) => write!(f, "what the reply has at {at:?} is not a token"),
            Self::TooLarge(at) => write!(f, "the token at {at:?} is too long when sealed"),
            Self::Unreadable => f.write_str("the body is neither JSON nor a text for people"),
            Self::Compressed(name) => write!(f, "the header {name:?} has compressed data in it"),
            Self::TooMuch => f.write_str("too much of the reply may be an encoded token"),
            Self::TokenInBody => f.write_str("a token is left in the body"),
            Self::TokenInField(name) => write!(f, "a token is left in the header {name:?}"),
            Self::Field(name) => write!(f, "the header {name:?} cannot be passed on"),
            Self::Cookies => f.write_str("more than one cookie, and this host can send only one"),
        }
    }
}

/// Header fields that concern the connection to the service (RFC 9110 section 7.6.1), or
/// that the host writes itself.
const WITHHELD: [&str; 13] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-envoy-upstream-service-time",
];

impl SealedReply<'_> {
    /// Builds the reply to the client from the service's reply.
    pub fn read(&self, login: &Login, reply: &CalloutReply) -> Result<LocalReply, LoginFailure> {
        let answer = match reply {
            CalloutReply::Answer(answer) => answer,
            CalloutReply::Failed(failure) => return Err(LoginFailure::NoAnswer(*failure)),
        };
        // The reply of a proxy, such as Envoy, that did not reach the service, or a
        // status that the filter cannot send.
        if matches!(answer.status, 502..=504) || !(200..=599).contains(&answer.status) {
            return Err(LoginFailure::Status(answer.status));
        }
        let is_encoded = |value: &[u8]| !value.trim_ascii().eq_ignore_ascii_case(b"identity");
        if values(answer, "content-encoding").any(is_encoded) {
            return Err(LoginFailure::Encoded);
        }
        let mut tokens = Vec::new();
        let mut reply = LocalReply::new(answer.status);
        for (name, value) in self.fields(login, answer, &mut tokens)? {
            reply = reply.with_header(name, value);
        }
        let reply = reply.with_body(self.body(login, answer, &mut tokens)?);
        refuse_leaks(&reply, &tokens)?;
        // RFC 6749 section 5.1, for services that forget it.
        let is_said = reply.headers.iter().any(|(name, _)| name == "cache-control");
        Ok(if is_said { reply } else { reply.with_header("cache-control", "no-store") })
    }

    /// The sealed form of a token at the position `at`.
    fn seal(&self, token: &str, at: &str) -> Result<String, LoginFailure> {
        let sealed = is_bearer_token(token.as_bytes())
            .then(|| self.keys.seal(token.as_bytes(), self.random))
            .flatten();
        let sealed = sealed.ok_or_else(|| LoginFailure::NotAToken(at.to_owned()))?;
        if sealed.len() > self.max_token_bytes {
            return Err(LoginFailure::TooLarge(at.to_owned()));
        }
        Ok(sealed)
    }

    fn body(
        &self,
        login: &Login,
        answer: &Answer,
        tokens: &mut Vec<String>,
    ) -> Result<Vec<u8>, LoginFailure> {
        if answer.body.is_empty() {
            return Ok(Vec::new());
        }
        let names = login.json.iter().filter_map(|pointer| pointer.rsplit('/').next());
        match Shape::of(answer, names.filter(|name| !name.is_empty())) {
            Shape::Json => {}
            Shape::Text => return Ok(answer.body.clone()),
            Shape::Unreadable => return Err(LoginFailure::Unreadable),
        }
        let mut document = json::parse(&answer.body).map_err(LoginFailure::Json)?;
        let sealed_in_fields = tokens.len();
        for pointer in &login.json {
            match document.pointer_mut(pointer) {
                None | Some(Value::Null) => {}
                // No token.
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::String(text)) => {
                    let sealed = self.seal(text, pointer)?;
                    tokens.push(std::mem::replace(text, sealed));
                }
                Some(_) => return Err(LoginFailure::NotAToken(pointer.clone())),
            }
        }
        let is_told = !is_success(answer.status) || tokens.len() > sealed_in_fields;
        if !is_told && has_token_without_name(&document) {
            return Err(LoginFailure::TokenInBody);
        }
        // Serialized anew, so that each character has only one spelling when the rest is
        // searched.
        Ok(document.to_string().into_bytes())
    }

    fn fields(
        &self,
        login: &Login,
        answer: &Answer,
        tokens: &mut Vec<String>,
    ) -> Result<Vec<(String, String)>, LoginFailure> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let of_connection = connection_options(answer);
        for Field { name, value } in answer.fields.iter() {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let is_withheld = name.starts_with(':') || WITHHELD.contains(&name.as_str());
            if is_withheld || of_connection.contains(name.as_bytes()) {
                continue;
            }
            let text = std::str::from_utf8(value).ok();
            let text = text.filter(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
            let text = text.ok_or_else(|| LoginFailure::Field(name.clone()))?;
            if name == "set-cookie" {
                fields.push((name, self.cookie(login, text, tokens)?));
                continue;
            }
            let known = fields.iter_mut().find(|(other, _)| *other == name);
            match known.filter(|_| !self.repeats_fields) {
                Some((_, list)) => {
                    list.push_str(", ");
                    list.push_str(text);
                }
                None => fields.push((name, text.to_owned())),
            }
        }
        let cookies = fields.iter().filter(|(name, _)| name == "set-cookie").count();
        if cookies > 1 && !self.repeats_fields {
            return Err(LoginFailure::Cookies);
        }
        Ok(fields)
    }

    /// `Set-Cookie` (RFC 6265 section 4.1.1) with its token sealed, if it is one of the
    /// token cookies. An empty value deletes a cookie.
    fn cookie(
        &self,
        login: &Login,
        field: &str,
        tokens: &mut Vec<String>,
    ) -> Result<String, LoginFailure> {
        let (pair, attributes) = match field.split_once(';') {
            Some((pair, attributes)) => (pair, Some(attributes)),
            None => (field, None),
        };
        let (name, value) = pair.split_once('=').unwrap_or(("", pair));
        let (name, value) = (name.trim(), value.trim());
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = unquoted.unwrap_or(value);
        if value.is_empty() || !login.cookies.iter().any(|cookie| cookie == name) {
            return Ok(field.to_owned());
        }
        let sealed = self.seal(value, name)?;
        tokens.push(value.to_owned());
        let attributes = attributes.map(|attributes| format!(";{attributes}"));
        Ok(format!("{name}={sealed}{}", attributes.unwrap_or_default()))
    }
}

/// Refuses a reply in which a token remains: a piece of one of the sealed ones, or
/// anything that looks like a JWT, in any encoding; also if it is spread over several
/// cookies.
fn refuse_leaks(reply: &LocalReply, tokens: &[String]) -> Result<(), LoginFailure> {
    let pieces = Pieces::of(tokens);
    let finds = |text: &[u8]| pieces.are_in(text) || has_jwt(text);
    let mut search = Search::new(&finds);
    let mut leaks = |text: &[u8]| search.is_in(text).map_err(|TooMuch| LoginFailure::TooMuch);
    if leaks(&reply.body)? {
        return Err(LoginFailure::TokenInBody);
    }
    let cookies: Vec<&str> = reply
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .filter_map(|(_, field)| field.split(';').next()?.split_once('='))
        .map(|(_, value)| value.trim().trim_matches('"'))
        .collect();
    // Some services split a token into header, payload and signature, others by length.
    let spread = [cookies.concat(), cookies.join(".")];
    for text in spread {
        if leaks(text.as_bytes())? {
            return Err(LoginFailure::TokenInField("set-cookie".to_owned()));
        }
    }
    let is_header = |text: &str| ends_with_jose_header(&percent_decode(text.as_bytes()));
    // The same for each of them; but a field before them is named first.
    let is_in_cookie = cookies.iter().any(|value| is_header(value));
    for (name, value) in &reply.headers {
        let is_alone = if name == "set-cookie" { is_in_cookie } else { is_header(value) };
        if is_alone || leaks(value.as_bytes())? {
            return Err(LoginFailure::TokenInField(name.to_string()));
        }
        if hides_compressed(value.as_bytes()) {
            return Err(LoginFailure::Compressed(name.to_string()));
        }
    }
    Ok(())
}

/// True if a document that is not an object contains a text that may be a token: without
/// a name, no pointer of the login can lead to it.
fn has_token_without_name(document: &Value) -> bool {
    let may_be = |value: &Value| value.as_str().is_some_and(|text| may_be_token(text.as_bytes()));
    match document {
        Value::Array(items) => items.iter().any(may_be),
        other => may_be(other),
    }
}

fn values<'a>(answer: &'a Answer, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    answer.fields.values(name)
}

/// The fields that `Connection` lists, in lower case: they are for the next hop only.
fn connection_options(answer: &Answer) -> BTreeSet<Vec<u8>> {
    let options = values(answer, "connection").flat_map(|value| value.split(|byte| *byte == b','));
    options.map(|option| option.trim_ascii().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_with_a_token_is_named() {
        // {"alg":"none"}
        let header = "eyJhbGciOiJub25lIn0";
        let cookie = ("set-cookie", format!("a={header}; Path=/"));
        let location = ("location", header.to_owned());
        let none = ("set-cookie", "b=1".to_owned());
        for (fields, expected) in [
            (vec![&none], None),
            (vec![&location, &cookie], Some("location")),
            (vec![&cookie, &location], Some("set-cookie")),
            (vec![&none, &location, &cookie], Some("set-cookie")),
        ] {
            let reply = fields.iter().fold(LocalReply::new(200), |reply, (name, value)| {
                reply.with_header(*name, value.clone())
            });
            let named = refuse_leaks(&reply, &[]).err().map(|error| error.to_string());
            let expected = expected.map(|name| format!("a token is left in the header {name:?}"));
            assert_eq!(named, expected, "{fields:?}");
        }
    }
}
