//! Secrets that are credentials of KongConsumers.
//!
//! The type of a credential is in the label `konghq.com/credential`. A Secret that cannot be
//! read may be a group that an acl plugin denies, so its consumer is shut out.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepass::config::check_credential;
use serde_json::{Map, Value, json};

use super::metadata::{kind, name, namespace, texts};
use super::placeholder::is_secret;
use crate::convert::Notes;

/// The Secrets of a file.
pub(super) struct Secrets<'m> {
    manifests: &'m [Value],
    is_base64: bool,
    /// The variables of the environment for those that were met.
    variables: BTreeSet<String>,
}

/// Credentials of one consumer, as a `kong.yml` has them.
#[derive(Default)]
pub(super) struct Owned {
    pub(super) jwt: Vec<Value>,
    pub(super) acl: Vec<Value>,
}

impl<'m> Secrets<'m> {
    pub(super) const fn of(manifests: &'m [Value], is_base64: bool) -> Self {
        Self { manifests, is_base64, variables: BTreeSet::new() }
    }

    /// The credentials that a consumer names.
    pub(super) fn owned_by(&mut self, consumer: &Value, place: &str, notes: &mut Notes) -> Owned {
        let mut owned = Owned::default();
        let space = namespace(consumer);
        for called in texts(consumer.get("credentials")) {
            let (label, mut fields) = match self.find(space, called) {
                Ok(found) => found,
                Err(why) => {
                    let text = "it may be a group that is denied";
                    notes.add(place, format_args!("credential {called} {why}: {text}"));
                    // A group without a name.
                    owned.acl.push(json!({}));
                    continue;
                }
            };
            match label.as_str() {
                "jwt" => {
                    self.hide(space, called, &mut fields, place, notes);
                    owned.jwt.push(Value::Object(fields));
                }
                "acl" => owned.acl.push(Value::Object(fields)),
                other => {
                    let text = format_args!("credential {called}: {other} stays in Kong");
                    notes.add(place, text);
                }
            }
        }
        owned
    }

    /// The type and the fields of a Secret.
    fn find(
        &self,
        space: &str,
        called: &str,
    ) -> Result<(String, Map<String, Value>), &'static str> {
        let is_it = |it: &&Value| {
            it.get("apiVersion") == Some(&json!("v1"))
                && kind(it) == "Secret"
                && namespace(it) == space
                && name(it) == called
        };
        let mut found = self.manifests.iter().filter(is_it);
        let secret = match (found.next(), found.next()) {
            (Some(secret), None) => secret,
            (None, _) => return Err("is not a Secret in the file"),
            _ => return Err("is in the file twice"),
        };
        let label = secret.pointer("/metadata/labels/konghq.com~1credential");
        let Some(label) = label.and_then(Value::as_str) else {
            return Err("has no label konghq.com/credential, by which its type is known (write \
                        konghq.com/credential: jwt; kongCredType is not read)");
        };
        let mut members = Map::new();
        for (field, is_encoded) in [("data", true), ("stringData", false)] {
            for (name, value) in secret.get(field).and_then(Value::as_object).into_iter().flatten()
            {
                let value = decoded(value, is_encoded).ok_or("has a value that is not text")?;
                members.insert(name.clone(), value.into());
            }
        }
        // The controller does not tell upper from lower case in names.
        let mut fields = Map::new();
        for (name, value) in members {
            if fields.insert(name.to_ascii_lowercase(), value).is_some() {
                return Err("has a field twice");
            }
        }
        fields.retain(|name, value| {
            ["key", "algorithm", "secret", "rsa_public_key", "group"].contains(&name.as_str())
                && !(name == "algorithm" && value == "")
        });
        Ok((label.to_owned(), fields))
    }

    /// Puts a variable in the place of a secret that would be accepted.
    fn hide(
        &mut self,
        space: &str,
        called: &str,
        fields: &mut Map<String, Value>,
        place: &str,
        notes: &mut Notes,
    ) {
        let of_hmac = fields.get("algorithm").and_then(Value::as_str).unwrap_or("HS256");
        if !of_hmac.starts_with("HS") {
            fields.remove("secret");
            return;
        }
        fields.remove("rsa_public_key");
        let is_usable = check_credential(&Value::Object(fields.clone()), self.is_base64).is_ok();
        let Some(Value::String(secret)) = fields.get_mut("secret") else { return };
        if !is_usable || !is_secret(secret) {
            return;
        }
        let upper = |text: &str| text.to_ascii_uppercase().replace(['-', '.'], "_");
        let mut variable = format!("GATEPASS_{}__{}", upper(space), upper(called));
        while !self.variables.insert(variable.clone()) {
            variable.push('_');
        }
        let text = "put the secret of the Secret";
        notes.add_info(place, format_args!("{text} {space}/{called} in the variable {variable}"));
        *secret = format!("${{{{ env \"{variable}\" }}}}");
    }
}

fn decoded(value: &Value, is_encoded: bool) -> Option<String> {
    let text = value.as_str()?;
    if !is_encoded {
        return Some(text.to_owned());
    }
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()
}
