//! Counters, gauges and histograms.

use std::collections::BTreeMap;

use super::super::abi::{Answer, Guest, Status, Trap};
use super::super::fake::FakeHost;
use super::Args;
use super::shared::crc32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// All metrics; a name defined twice is one metric.
#[derive(Default)]
pub struct Metrics {
    /// By their ids.
    defined: BTreeMap<u32, (Kind, String)>,
    /// A histogram's value is the sum of what was recorded.
    pub values: BTreeMap<String, u64>,
}

pub fn define(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    let kind = match args[0] {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Histogram,
        _ => return Ok(Status::BadArgument),
    };
    let name = guest.text(args[1], args[2])?;
    if host.is_kong() && name.len() > 256 {
        return Err(Trap::new(format!("could not define metric: name {name:?} too long")));
    }
    let kong = host.is_kong();
    let metrics = &mut host.metrics;
    let known = metrics.defined.iter().find(|(_, (_, defined))| *defined == name);
    if known.is_some_and(|(_, (defined, _))| *defined != kind) {
        host.violate(format!("metric {name:?} was defined as two kinds"));
        return Ok(Status::BadArgument);
    }
    let id = match known {
        Some((id, _)) => *id,
        // Whatever else has it.
        None if kong => crc32(name.as_bytes()),
        None => metrics.defined.len() as u32 + 1,
    };
    metrics.defined.entry(id).or_insert_with(|| {
        metrics.values.insert(name.clone(), 0);
        (kind, name)
    });
    guest.write_u32(args[3], id)?;
    Ok(Status::Ok)
}

fn find(host: &FakeHost, id: u64) -> Option<(Kind, String)> {
    host.metrics.defined.get(&u32::try_from(id).ok()?).cloned()
}

/// Kong traps where Envoy answers with a status.
fn refuse(host: &FakeHost, id: u64, status: Status) -> Answer {
    if host.is_kong() {
        return Err(Trap::new(format!("metric {id}: unknown, or not of the kind for this call")));
    }
    Ok(status)
}

pub fn get(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    match find(host, args[0]) {
        None => refuse(host, args[0], Status::NotFound),
        Some((Kind::Histogram, _)) => refuse(host, args[0], Status::BadArgument),
        Some((_, name)) => {
            guest.write(args[1], &host.metrics.values[&name].to_le_bytes())?;
            Ok(Status::Ok)
        }
    }
}

pub fn record(host: &mut FakeHost, args: Args<'_>) -> Answer {
    let (kind, name) = match find(host, args[0]) {
        None => return refuse(host, args[0], Status::NotFound),
        Some((Kind::Counter, _)) if host.is_kong() => {
            return refuse(host, args[0], Status::BadArgument);
        }
        Some(metric) => metric,
    };
    let value = host.metrics.values.entry(name).or_default();
    *value = if kind == Kind::Gauge { args[1] } else { value.saturating_add(args[1]) };
    Ok(Status::Ok)
}

pub fn increment(host: &mut FakeHost, args: Args<'_>) -> Answer {
    let name = match find(host, args[0]) {
        None => return refuse(host, args[0], Status::NotFound),
        Some((Kind::Histogram, _)) => return refuse(host, args[0], Status::BadArgument),
        Some((Kind::Gauge, _)) if host.is_kong() => {
            return refuse(host, args[0], Status::BadArgument);
        }
        Some((_, name)) => name,
    };
    let value = host.metrics.values.entry(name).or_default();
    *value = value.saturating_add_signed(args[1] as i64);
    Ok(Status::Ok)
}
