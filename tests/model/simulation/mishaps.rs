//! Several things that happen at a stroke, and would seldom do so one by one.

use super::super::support;
use super::outside::SLOW_MS;
use super::worker::Client;
use super::world::{Found, World};

impl World {
    /// The answer that a worker gets to a question is older than what another worker heard
    /// meanwhile; then a third one starts, with what was shared, or the same one had looked
    /// at it before.
    pub fn overtake(&mut self, a: usize, b: usize) -> Found {
        let at = a % self.workers.len();
        let (slow, other) = (at, at ^ 1);
        let issuer = 2 * self.workers[at].listener + b % 2;
        let Some((kid, _)) = self.outside.keys[issuer].first().copied() else { return Ok(()) };
        let old = self.token(issuer, 4, 300);
        self.drain(15)?;
        // A key id that nobody has makes each of them ask.
        let unknown = self.token(issuer, 3 + 16 * b, 300);
        self.begin(slow, Client { token: unknown, entry: None })?;
        self.pass(10);
        self.outside.add_key(issuer, kid, self.real);
        self.pass(10);
        let new = self.token(issuer, 4, 300);
        self.begin(other, Client { token: new, entry: None })?;
        while !self.workers[other].open.is_empty() {
            self.complete(other, 0, 15)?;
        }
        // A request on Kong may wait for longer than its worker does.
        let has_looked = !self.host.resumes_others && a / 8 % 2 == 1;
        if has_looked {
            self.pass(SLOW_MS + 100);
            self.tick(slow)?;
        }
        while !self.workers[slow].open.is_empty() {
            self.complete(slow, 0, 3)?;
        }
        if !has_looked {
            self.replace(slow);
            self.tick(slow)?;
        }
        for _ in 0..3 {
            self.begin(slow, Client { token: old.clone(), entry: None })?;
            while !self.workers[slow].open.is_empty() {
                self.complete(slow, 0, 15)?;
            }
            self.pass(20);
            self.tick(slow)?;
        }
        Ok(())
    }

    /// Every service fails at once when it is asked, for three seconds.
    pub fn misbehave(&mut self, how: usize) -> Found {
        for _ in 0..30 {
            self.pass(100);
            for at in 0..self.workers.len() {
                self.tick(at)?;
                while !self.workers[at].open.is_empty() {
                    self.complete(at, 0, how % 3)?;
                }
            }
        }
        Ok(())
    }

    /// A reply comes again.
    pub fn twice(&mut self, a: usize, b: usize) -> Found {
        let (now, at) = (self.now(), a % self.workers.len());
        let worker = &mut self.workers[at];
        let Some(flight) = worker.closed.get(b % worker.closed.len().max(1)) else { return Ok(()) };
        match worker.gateway.complete(*flight, &support::failed(), now) {
            Some(_) => Err("a reply that came again was taken".to_owned()),
            None => Ok(()),
        }
    }
}
