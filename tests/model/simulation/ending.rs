//! How it ends: nothing is left, and everybody is served again.

use super::outside::ISSUERS;
use super::stores::Kind;
use super::worker::Client;
use super::world::{Found, World};

impl World {
    /// Everything under way comes to its end.
    pub fn drain(&mut self, how: usize) -> Found {
        for _ in 0..100 {
            for at in 0..self.workers.len() {
                while !self.workers[at].open.is_empty() {
                    self.complete(at, 0, how)?;
                }
                while !self.workers[at].submissions.is_empty() {
                    self.hand_over(at, 0, false)?;
                }
            }
        }
        for worker in &self.workers {
            if worker.gateway.in_flight() + worker.waiting.len() + worker.open.len() > 0 {
                return Err(format!("{} are left", worker.gateway.in_flight()));
            }
        }
        if self.begun != self.ended + self.left {
            return Err(format!("{} of {} had a verdict", self.ended, self.begun - self.left));
        }
        Ok(())
    }

    /// Once the services are well again, so is everybody.
    pub fn recover(&mut self) -> Found {
        for issuer in 0..4 {
            if self.outside.keys[issuer].is_empty() {
                self.outside.add_key(issuer, 0, self.real);
            }
        }
        for _ in 0..80 {
            self.pass(1000);
            for at in 0..self.workers.len() {
                self.tick(at)?;
            }
            self.drain(15)?;
        }
        for at in 0..self.workers.len() {
            let listener = self.workers[at].listener;
            for issuer in [2 * listener, 2 * listener + 1] {
                // An entry may name the users, and the token must be of the clock's time.
                if self.offset != 0 || self.kind == Kind::Colliding {
                    continue;
                }
                let token = self.token(issuer, 5, 300);
                let feed = &self.outside.feed;
                let is_listed =
                    self.outside.allowed.last().is_some_and(|it| it.contains(&token.sub));
                if self.facts.may_be_revoked(&token, feed, &self.posted)
                    || listener == 1 && !is_listed
                {
                    continue;
                }
                let before = self.passed;
                self.begin(at, Client { token, entry: None })?;
                self.drain(15)?;
                if self.passed == before {
                    return Err(format!(
                        "not served: {} at {at}, {:?}",
                        ISSUERS[issuer], self.last
                    ));
                }
            }
        }
        Ok(())
    }
}
