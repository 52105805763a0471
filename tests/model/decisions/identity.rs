//! What an identity token says.

use super::super::json::Json;
use super::evaluate::{Model, User};
use super::rules::lookup;

impl Model<'_> {
    pub fn identity(
        &self,
        claims: &Json,
        provider: &str,
        consumer: Option<&Json>,
        scopes: &[String],
        user: &User,
    ) -> Json {
        let token = self.config.get("identity_token").expect("identity_token");
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut put = |name: &str, value: Json| {
            members.retain(|(known, _)| known != name);
            members.push((name.to_owned(), value));
        };
        let text = |text: &str| Json::Text(text.to_owned());
        let claims_of = token.get("claims");
        for name in claims_of.map(|claims| claims.texts("copy")).unwrap_or_default() {
            let is_own = name != "scope" && !self.is_user_claim(name);
            if let Some(value) = lookup(claims, name).filter(|_| is_own) {
                put(name, value.clone());
            }
        }
        let set = claims_of.and_then(|claims| claims.get("set"));
        for (name, value) in set.map_or(&[][..], Json::members) {
            put(name, value.clone());
        }
        match user {
            User::Known(known) => {
                known.members().iter().for_each(|(name, value)| put(name, value.clone()));
            }
            User::Failed => put("enrichment", text("none")),
            User::NotAsked => {}
        }
        put("iss", token.get("issuer").expect("an issuer").clone());
        let audiences = token.list("audiences");
        put(
            "aud",
            if audiences.len() == 1 {
                audiences[0].clone()
            } else {
                Json::List(audiences.to_vec())
            },
        );
        let subject = claims.get("sub").and_then(Json::text).expect("a subject");
        put(
            "sub",
            text(&match token.get("subject").and_then(Json::text) {
                None => subject.to_owned(),
                Some(template) => {
                    template.replace("{provider}", provider).replace("{sub}", subject)
                }
            }),
        );
        put("iat", Json::Number(self.now.to_string()));
        put("nbf", Json::Number(self.now.to_string()));
        let ttl = token.get("ttl_seconds").and_then(Json::integer).unwrap_or(300);
        let end = self.exp(claims).map_or(self.now + ttl, |exp| exp.min(self.now + ttl));
        put("exp", Json::Number(end.to_string()));
        if let Some(client) = ["azp", "client_id"].iter().find_map(|name| lookup(claims, name)) {
            put("client_id", client.clone());
        }
        if !scopes.is_empty() {
            put("scope", text(&scopes.join(" ")));
        }
        if let Some(entry) = consumer {
            let named = ["id", "username", "custom_id"];
            let named = named
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), entry.get(name)?.clone())));
            put("consumer", Json::Object(named.collect()));
            if !entry.list("groups").is_empty() {
                put("groups", Json::List(entry.list("groups").to_vec()));
            }
        }
        if self.config.get("providers").expect("providers").members().len() > 1 {
            let issuer = claims.get("iss").expect("an issuer").clone();
            put(
                "origin",
                Json::Object(vec![
                    ("iss".to_owned(), issuer),
                    ("provider".to_owned(), text(provider)),
                ]),
            );
        }
        Json::Object(members)
    }
}

/// Of `scope`, else `scp`, else `scopes`; each once.
pub fn scopes(claims: &Json) -> Vec<String> {
    let claim = ["scope", "scp", "scopes"].iter().find_map(|name| lookup(claims, name));
    let words: Vec<&str> = match claim {
        Some(Json::Text(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Some(list) => list.items().iter().filter_map(Json::text).collect(),
        None => Vec::new(),
    };
    let mut scopes: Vec<String> = Vec::new();
    for word in words {
        if !scopes.iter().any(|known| known == word) {
            scopes.push(word.to_owned());
        }
    }
    scopes
}
