//! The gauges at the host, which keeps each value until it gets another one: how old keys and
//! lists are.

use std::collections::BTreeMap;

use super::outside::{CACHE_MS, ISSUERS};
use super::stores::Kind;
use super::worker::Worker;
use super::world::{Found, World};

/// How often lists are asked for.
const POLL_SECONDS: u64 = 3;

/// Ages of keys and lists by name and label, in seconds.
#[derive(Debug, Default)]
pub struct Gauges(BTreeMap<String, u64>);

impl Gauges {
    /// Takes what a worker has to say.
    fn take(&mut self, worker: &mut Worker) {
        let all = worker.gateway.metrics();
        for (position, value) in worker.gateway.take_metrics() {
            let series = &all[position];
            if series.name.ends_with("_age_seconds") {
                let (_, label) = series.labels.first().expect("whose age it is");
                self.0.insert(label.clone(), value);
            }
        }
    }

    /// A worker ends.
    pub fn retire(&mut self, worker: &mut Worker) {
        worker.gateway.retire();
        self.take(worker);
    }
}

impl World {
    /// Whether the gauges say what is so, some time after the services were well again, and
    /// nothing of what is gone.
    pub fn check_gauges(&mut self) -> Found {
        let names = ["a", "b", "d", "e"];
        for at in 0..self.workers.len() {
            let mut own = Gauges::default();
            own.take(&mut self.workers[at]);
            for (label, age) in &own.0 {
                let issuer = names.iter().position(|name| name == label);
                let most = issuer.map_or(POLL_SECONDS, |_| CACHE_MS.unsigned_abs() / 1000);
                // Who cannot share a list has none, where several must.
                if *age > most + 2 && self.kind != Kind::Colliding {
                    return Err(format!("{label} is {age} s old at {at}, by its gauge"));
                }
                let heard = issuer.and_then(|issuer| self.facts.latest(issuer));
                if heard.is_some_and(|heard| age * 1000 + 1000 < (self.real - heard).unsigned_abs())
                {
                    let issuer = issuer.map(|issuer| ISSUERS[issuer]);
                    return Err(format!("{age} s is too young for {issuer:?}, heard at {heard:?}"));
                }
            }
            self.gauges.0.extend(own.0);
        }
        self.aged = self.gauges.0.values().filter(|age| **age > 0).count();
        for worker in &mut self.workers {
            self.gauges.retire(worker);
        }
        match self.gauges.0.iter().find(|(_, age)| **age > 0) {
            Some((label, age)) => Err(format!("{label} is gone, and still {age} s old")),
            None => Ok(()),
        }
    }
}
