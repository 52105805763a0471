//! The claims of an identity token while it is minted: borrowed from where they are, and
//! written from there.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::json::Json;
use crate::time::UnixTime;
use crate::token::ClaimPath;

/// Claims in the order of their names, each once.
#[derive(Debug)]
pub(super) struct ClaimSet<'a>(Vec<(Cow<'a, str>, Claim<'a>)>);

/// The value of a claim.
#[derive(Debug)]
pub(super) enum Claim<'a> {
    /// From where it is.
    Borrowed(Json<'a>),
    /// Made for this token.
    Owned(Value),
}

impl Claim<'_> {
    fn view(&self) -> Json<'_> {
        match self {
            Self::Borrowed(value) => *value,
            Self::Owned(value) => value.into(),
        }
    }
}

impl<'a> From<Json<'a>> for Claim<'a> {
    fn from(value: Json<'a>) -> Self {
        Self::Borrowed(value)
    }
}

impl<'a> From<&'a str> for Claim<'a> {
    fn from(text: &'a str) -> Self {
        Self::Borrowed(Json::Text(text))
    }
}

impl From<String> for Claim<'_> {
    fn from(text: String) -> Self {
        Self::Owned(Value::String(text))
    }
}

impl From<Value> for Claim<'_> {
    fn from(value: Value) -> Self {
        Self::Owned(value)
    }
}

impl<'a> ClaimSet<'a> {
    /// No claims, with room for as many as most tokens have.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    /// Sets a claim, in place of an earlier one of its name.
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Claim<'a>>) {
        let (name, value) = (name.into(), value.into());
        match self.position(&name) {
            Ok(at) => {
                if let Some((_, own)) = self.0.get_mut(at) {
                    *own = value;
                }
            }
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Removes a claim, if it is there.
    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            self.0.remove(at);
        }
    }

    /// The claim called `name`.
    pub(super) fn get(&self, name: &str) -> Option<Json<'_>> {
        let (_, value) = self.0.get(self.position(name).ok()?)?;
        Some(value.view())
    }

    /// The claim called `name` for changes; `None` for one that is borrowed from the public
    /// token.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.position(name).ok()?;
        match self.0.get_mut(at)? {
            (_, Claim::Owned(value)) => Some(value),
            (_, Claim::Borrowed(_)) => None,
        }
    }

    /// The claim that `path` leads to.
    pub(super) fn find(&self, path: &ClaimPath) -> Option<Json<'_>> {
        path.find_by(|name| self.get(name))
    }

    /// The size of their texts in bytes: less than their JSON.
    pub(super) fn text_bytes(&self) -> usize {
        self.0.iter().fold(0, |bytes, (name, value)| {
            bytes.saturating_add(name.len()).saturating_add(value.view().text_bytes())
        })
    }

    /// The claims whose names are `chosen`.
    pub(super) fn iter(
        &self,
        chosen: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&str, Json<'_>)> {
        let claims = self.0.iter().map(|(name, value)| (&**name, value.view()));
        claims.filter(move |(name, _)| chosen(name))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name))
    }
}

impl From<Map<String, Value>> for ClaimSet<'_> {
    fn from(claims: Map<String, Value>) -> Self {
        // In the same order.
        let owned = |(name, value)| (Cow::Owned(name), Claim::Owned(value));
        Self(claims.into_iter().map(owned).collect())
    }
}

/// Members of an object that is being written.
pub(super) trait WriteMembers {
    /// Writes them.
    fn write<M: SerializeMap>(&self, object: &mut M) -> Result<(), M::Error>;
}

impl WriteMembers for ClaimSet<'_> {
    fn write<M: SerializeMap>(&self, object: &mut M) -> Result<(), M::Error> {
        self.iter(|_| true).try_for_each(|(name, value)| object.serialize_entry(name, &value))
    }
}

/// The payload of a token: its times, and other claims.
pub(super) struct Payload<'a, T> {
    /// `exp`.
    pub expires: UnixTime,
    /// `nbf` and `iat`.
    pub now: UnixTime,
    /// The others.
    pub claims: &'a T,
}

impl<T: WriteMembers> Serialize for Payload<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("exp", &self.expires.as_secs())?;
        object.serialize_entry("nbf", &self.now.as_secs())?;
        object.serialize_entry("iat", &self.now.as_secs())?;
        self.claims.write(&mut object)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts() {
        let mut claims = ClaimSet::new();
        for (name, text) in [("sub", "a"), ("aud", "b"), ("iss", "c"), ("aud", "d"), ("x", "e")] {
            claims.set(name, text);
        }
        claims.remove("x");
        claims.remove("absent");
        assert_eq!(claims.get("aud").and_then(Json::as_str), Some("d"));
        assert!(claims.get("x").is_none());
        let (now, expires) = (UnixTime::from_secs(1), UnixTime::from_secs(2));
        let payload = Payload { expires, now, claims: &claims };
        assert_eq!(
            serde_json::to_string(&payload).unwrap(),
            r#"{"exp":2,"nbf":1,"iat":1,"aud":"d","iss":"c","sub":"a"}"#
        );
        assert_eq!(claims.text_bytes(), "audissssub".len() + 2);
    }
}
