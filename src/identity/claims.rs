//! The claims of an identity token while it is minted: borrowed from where they are, and
//! written from there.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::json;
use crate::time::UnixTime;
use crate::token::ClaimPath;

/// Claims in the order of their names, each once.
#[derive(Debug)]
pub(super) struct ClaimSet<'a>(Vec<(Cow<'a, str>, Cow<'a, Value>)>);

impl<'a> ClaimSet<'a> {
    /// No claims, with room for as many as most tokens have.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(16))
    }

    /// Sets a claim, in place of an earlier one of its name.
    pub(super) fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, Value>>) {
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

    /// Sets a claim to a text.
    pub(super) fn set_text(&mut self, name: &'static str, text: impl Into<String>) {
        self.set(name, Cow::Owned(Value::String(text.into())));
    }

    /// Removes a claim, if it is there.
    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            self.0.remove(at);
        }
    }

    /// The claim called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.get(self.position(name).ok()?)?;
        Some(value)
    }

    /// The same, to change it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let at = self.position(name).ok()?;
        self.0.get_mut(at).map(|(_, value)| value.to_mut())
    }

    /// The claim that `path` leads to.
    pub(super) fn find(&self, path: &ClaimPath) -> Option<&Value> {
        path.find_by(|name| self.get(name))
    }

    /// The size of their texts in bytes: less than their JSON.
    pub(super) fn text_bytes(&self) -> usize {
        self.0.iter().fold(0, |bytes, (name, value)| {
            bytes.saturating_add(name.len()).saturating_add(json::text_bytes_of(value))
        })
    }

    /// The claims whose names are `chosen`.
    pub(super) fn iter(
        &self,
        chosen: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, &**value)).filter(move |(name, _)| chosen(name))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(name))
    }
}

impl From<Map<String, Value>> for ClaimSet<'_> {
    fn from(claims: Map<String, Value>) -> Self {
        // In the same order.
        let owned = |(name, value)| (Cow::Owned(name), Cow::Owned(value));
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
        self.iter(|_| true).try_for_each(|(name, value)| object.serialize_entry(name, value))
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
            claims.set_text(name, text);
        }
        claims.remove("x");
        claims.remove("absent");
        assert_eq!(claims.get("aud"), Some(&"d".into()));
        assert_eq!(claims.get("x"), None);
        let (now, expires) = (UnixTime::from_secs(1), UnixTime::from_secs(2));
        let payload = Payload { expires, now, claims: &claims };
        assert_eq!(
            serde_json::to_string(&payload).unwrap(),
            r#"{"exp":2,"nbf":1,"iat":1,"aud":"d","iss":"c","sub":"a"}"#
        );
        assert_eq!(claims.text_bytes(), "audissssub".len() + 2);
    }
}
