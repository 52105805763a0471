//! Measuring side by side: short slices in turn, each compared with the
//! baseline just before and after it, since the speed of a machine drifts.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::load::{Slice, Target};

/// All slices of one target.
#[derive(Clone, Default)]
pub struct Series {
    pub slices: Vec<Slice>,
    /// For each slice: the baseline next to it.
    pub baselines: Vec<Slice>,
}

impl Series {
    pub fn median(&self, value: impl Fn(&Slice) -> f64) -> f64 {
        median(self.slices.iter().map(value))
    }

    /// `value(slice, its baseline)` of each slice.
    fn paired(&self, value: impl Fn(&Slice, &Slice) -> f64) -> Vec<f64> {
        self.slices.iter().zip(&self.baselines).map(|(slice, base)| value(slice, base)).collect()
    }

    pub fn throughput_ratio(&self) -> f64 {
        median(self.paired(|slice, base| slice.per_second / base.per_second))
    }

    /// The CPU time that a request takes more than the baseline's, in microseconds.
    pub fn added_cpu(&self) -> Estimate {
        Estimate::of(&self.paired(|slice, base| slice.cpu - base.cpu))
    }

    /// How the CPU time of a request compares with that of another target in the same
    /// rounds.
    pub fn cpu_against(&self, other: &Self) -> Estimate {
        let pairs = self.slices.iter().zip(&other.slices);
        Estimate::of(&pairs.map(|(own, other)| own.cpu / other.cpu).collect::<Vec<_>>())
    }

    /// How the throughput compares with that of another target in the same
    /// rounds, each relative to its baseline.
    pub fn against(&self, other: &Self) -> f64 {
        let relative =
            |series: &Self| series.paired(|slice, base| slice.per_second / base.per_second);
        median(relative(self).into_iter().zip(relative(other)).map(|(own, other)| own / other))
    }
}

/// A median, with the 95 % interval of its bootstrap.
#[derive(Clone, Copy)]
pub struct Estimate {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    const RESAMPLES: usize = 1000;

    pub fn of(values: &[f64]) -> Self {
        let mut random = random();
        let mut pick = || values[random.next().unwrap_or(0) as usize % values.len().max(1)];
        let mut medians: Vec<f64> = (0..Self::RESAMPLES)
            .map(|_| median((0..values.len()).map(|_| pick()).collect::<Vec<_>>()))
            .collect();
        medians.sort_by(f64::total_cmp);
        let at = |share: f64| medians[(share * (Self::RESAMPLES - 1) as f64).round() as usize];
        Self { median: median(values.iter().copied()), low: at(0.025), high: at(0.975) }
    }

    pub fn json(self) -> Value {
        json!({"median": rounded(self.median), "low": rounded(self.low), "high": rounded(self.high)})
    }
}

/// To three decimals, as nothing here is measured more exactly.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// How the targets are loaded.
#[derive(Clone, Copy)]
pub enum Load<'a> {
    /// As much as each can take, over this many connections.
    Saturating(usize),
    /// So many requests a second, by target.
    Rates(&'a [f64]),
}

/// Runs all targets in turn, `rounds` times, slices of about `slice` each. The
/// first target is the baseline, run again after every third.
pub async fn interleave(
    targets: &[Rc<Target>],
    load: Load<'_>,
    rounds: usize,
    slice: Duration,
) -> Vec<Series> {
    // Warms caches, connections and keys, and tells how much fits in a slice.
    let mut speeds = Vec::new();
    for target in targets {
        target.closed(16, 400).await;
        speeds.push(target.closed(16, 300).await.per_second);
    }
    let run = async |index: usize| {
        let target = &targets[index];
        match load {
            Load::Saturating(connections) => {
                let count = (speeds[index] * slice.as_secs_f64()).max(100.0);
                target.closed(connections, count as u64).await
            }
            Load::Rates(rates) => {
                let rate = rates[index];
                target.open(rate, (rate * slice.as_secs_f64()).max(100.0) as u64).await
            }
        }
    };
    let mut series = vec![Series::default(); targets.len()];
    let others: Vec<usize> = (1..targets.len()).collect();
    let mut before = run(0).await;
    for round in 0..rounds {
        let mut order = others.clone();
        order.rotate_left(round * 5 % others.len().max(1));
        for group in order.chunks(3) {
            let mut slices = Vec::new();
            for index in group {
                slices.push((*index, run(*index).await));
            }
            let after = run(0).await;
            let near = mean(&before, &after);
            for (index, slice) in slices {
                series[index].slices.push(slice);
                series[index].baselines.push(near.clone());
            }
            series[0].slices.push(after.clone());
            series[0].baselines.push(before);
            before = after;
        }
    }
    series
}

fn mean(one: &Slice, other: &Slice) -> Slice {
    let mean = |value: fn(&Slice) -> f64| (value(one) + value(other)) / 2.0;
    Slice {
        per_second: mean(|slice| slice.per_second),
        cpu: mean(|slice| slice.cpu),
        p50: mean(|slice| slice.p50),
        p99: mean(|slice| slice.p99),
    }
}

/// Times between arrivals of a Poisson process; the same ones each time.
pub fn arrivals(per_second: f64) -> impl Iterator<Item = Duration> {
    random().map(move |number| {
        let uniform = (number >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-(1.0 - uniform).ln() / per_second)
    })
}

/// Numbers by xorshift64; the same ones each time.
fn random() -> impl Iterator<Item = u64> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
}
