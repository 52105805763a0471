//! Whether a token is good and whose it is, all reasons to refuse it at once.

use super::super::json::Json;
use super::evaluate::{Model, Step};
use super::request::Token;
use super::rules::{self, lookup};

impl Model<'_> {
    /// The provider of a token that is good.
    pub fn verify(&self, token: &Token, claims: &Json) -> Step<&str> {
        let header = Json::from(&token.header);
        let typ = header.get("typ").and_then(Json::text).map(str::to_lowercase);
        let issuer = claims.get("iss").and_then(Json::text);
        let providers = self.config.get("providers").expect("providers").members();
        if header.get("crit").is_some() {
            return Err(vec!["critical_header"]);
        }
        let mut own = providers
            .iter()
            .enumerate()
            .filter(|(_, (_, provider))| provider.get("issuer").and_then(Json::text) == issuer);
        let Some((position, (name, provider))) = own.next() else {
            return Err(vec![if issuer.is_some() { "issuer_unknown" } else { "claim_missing" }]);
        };
        let mut codes = Vec::new();
        let types = provider.texts("token_types");
        let is_typ = match &typ {
            Some(typ) if typ.starts_with("identity") => false,
            Some(typ) if types.is_empty() => ["jwt", "at+jwt"].contains(&typ.as_str()),
            Some(typ) => typ != "none" && types.iter().any(|known| known.eq_ignore_ascii_case(typ)),
            None => types.is_empty() || types.contains(&"none"),
        };
        if !is_typ {
            codes.push("token_type_mismatch");
        }
        if header.get("kid").and_then(Json::text) != Some("k") {
            codes.push("key_unknown");
        } else if token.tampered || token.key != usize::from(position == self.second()) {
            codes.push("signature_invalid");
        }
        self.check_times(provider, claims, &mut codes);
        let audience = claims.get("aud");
        let accepted = provider.texts("audiences");
        let mut named: Vec<&str> =
            audience.map_or(&[][..], Json::items).iter().filter_map(Json::text).collect();
        named.extend(audience.and_then(Json::text));
        let is_for_us = named.iter().any(|one| accepted.contains(one));
        if !provider.flag("allow_any_audience", false) && !is_for_us {
            codes.extend(["audience_mismatch", "claim_missing"]);
        }
        // A token that is over or for others is worth no key, and no fetch of one.
        let is_of_key = |code: &&str| ["key_unknown", "signature_invalid"].contains(code);
        let is_plain = |code: &&str| !is_of_key(code) && *code != "token_type_mismatch";
        if codes.iter().any(is_plain) {
            codes.retain(|code| !is_of_key(code));
        }
        match claims.get("sub").and_then(Json::text) {
            None => codes.push("claim_missing"),
            Some("") => codes.extend(["claim_missing", "claim_mismatch", "token_malformed"]),
            Some(_) => {}
        }
        if claims.get("cnf").is_some() && !provider.flag("accept_unbound", false) {
            codes.push("binding_mismatch");
        }
        for (path, wanted) in provider.get("required_claims").map_or(&[][..], Json::members) {
            match lookup(claims, path) {
                None => codes.push("claim_missing"),
                claim if !rules::accepts(wanted, claim) => codes.push("claim_mismatch"),
                _ => {}
            }
        }
        if codes.is_empty() { Ok(name) } else { Err(codes) }
    }

    /// Where the provider with the other key stands.
    fn second(&self) -> usize {
        let providers = self.config.get("providers").expect("providers").members();
        providers.iter().position(|(name, _)| name == "partner").unwrap_or(usize::MAX)
    }

    pub fn exp(&self, claims: &Json) -> Option<i64> {
        claims.get("exp").and_then(Json::integer)
    }

    fn check_times(&self, provider: &Json, claims: &Json, codes: &mut Vec<&'static str>) {
        let date = |name: &str| claims.get(name).and_then(Json::integer);
        let number = |name: &str| provider.get(name).and_then(Json::integer);
        let skew = number("clock_skew_seconds").unwrap_or(60);
        match date("exp") {
            None if provider.flag("require_expiration", true) => codes.push("claim_missing"),
            None => {}
            Some(exp) => {
                if exp + skew <= self.now {
                    codes.push("token_expired");
                }
                let from = date("iat").unwrap_or(self.now);
                if number("max_lifetime_seconds").is_some_and(|most| exp - from > most) {
                    codes.push("lifetime_exceeded");
                }
            }
        }
        if date("exp").is_none() && number("max_lifetime_seconds").is_some() {
            codes.extend(["lifetime_exceeded", "claim_missing"]);
        }
        if ["nbf", "iat"].into_iter().filter_map(date).any(|from| from - skew > self.now) {
            codes.push("token_not_yet_valid");
        }
    }

    pub fn consumer(&self, provider: &str, claims: &Json) -> Step<Option<&Json>> {
        let unknown = Err(vec!["consumer_unknown"]);
        let Some(consumers) = self.config.get("consumers") else { return Ok(None) };
        let entries = consumers.list("entries");
        let named = consumers.texts("claim");
        let paths = if named.is_empty() { vec!["azp", "client_id", "iss"] } else { named };
        let key = paths.iter().find_map(|path| lookup(claims, path)).and_then(Json::text);
        let is_it = |entry: &&Json| {
            let providers = entry.texts("providers");
            key.is_some()
                && entry.get("key").and_then(Json::text) == key
                && (providers.is_empty() || providers.contains(&provider))
        };
        match entries.iter().find(is_it) {
            Some(entry) if !entry.flag("enabled", true) => unknown,
            Some(entry) => Ok(Some(entry)),
            None if entries.is_empty() || consumers.flag("optional", false) => Ok(None),
            None => unknown,
        }
    }
}
