//! Who was locked out: kept here for every gateway of the fleet, and for those
//! that start later.

use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use crate::stack::keys;

pub struct Revocations {
    /// Distinguishes cursors of this list from those of one before.
    name: String,
    /// Oldest first. The cursor that a gateway gets says how many it has seen.
    list: Vec<Revocation>,
}

struct Revocation {
    sub: String,
    /// Tokens issued from then on are good: the user may log in again.
    issued_before: u64,
    /// No token that it concerns lives longer.
    until: u64,
}

impl Revocations {
    pub fn new() -> Self {
        Self { name: keys::random_text(), list: Vec::new() }
    }

    /// Every token that the user has now.
    pub fn revoke(&mut self, sub: &str, token_seconds: u64) -> Value {
        // The time in a token is in seconds: this one included.
        let issued_before = get_current_timestamp() + 1;
        let until = issued_before + token_seconds;
        let revocation = Revocation { sub: sub.to_owned(), issued_before, until };
        let entry = revocation.entry();
        self.list.push(revocation);
        entry
    }

    /// When the user's next token may be issued.
    pub fn not_before(&self, sub: &str) -> u64 {
        let of_user = self.list.iter().filter(|revocation| revocation.sub == sub);
        of_user.map(|revocation| revocation.issued_before).max().unwrap_or(0)
    }

    /// What is new to whoever has a cursor; everything for whoever has none, or
    /// one of another list.
    pub fn since(&self, cursor: Option<&str>) -> Value {
        let seen = cursor
            .and_then(|cursor| cursor.strip_prefix(&self.name)?.strip_prefix('.')?.parse().ok());
        let now = get_current_timestamp();
        let entries: Vec<Value> = self
            .list
            .iter()
            .skip(seen.unwrap_or(0))
            .filter(|revocation| now < revocation.until)
            .map(Revocation::entry)
            .collect();
        json!({"cursor": format!("{}.{}", self.name, self.list.len()), "entries": entries})
    }
}

impl Revocation {
    fn entry(&self) -> Value {
        json!({"sub": self.sub, "issued_before": self.issued_before, "until": self.until})
    }
}
