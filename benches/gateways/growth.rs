//! Memory, time to start, and what requests cost as the work grows.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Requests, Target};
use crate::plot::Curve;
use crate::process::Cpu;
use crate::report::{Section, Table};
use crate::requests;
use crate::stats::{Load, interleave, median};
use crate::tokens::{self, Signer};

/// Requests with ever new tokens, `distinct` of them in turn, made as they are
/// sent; as long as RS256 ones.
fn distinct(signer: &Rc<Signer>, distinct: u64) -> Requests {
    let signer = Rc::clone(signer);
    let padding = format!("x-padding: {}\r\n", "p".repeat(8));
    Rc::new(move |n| {
        let n = n % distinct;
        let token = signer.token(&format!("user-{:02}", n % 64), n);
        tokens::request(Some(&token), &padding)
    })
}

fn config(signer: &Signer) -> Value {
    envoy::gatepass(&[signer], ("ES256", &tokens::identity_key("ES256")))
}

/// Memory by cached tokens, and the time Envoy needs until it is ready.
pub async fn memory(machine: &Machine, effort: &Effort) -> Section {
    let signer = Rc::new(Signer::new("HS256"));
    let mut table = Table::new(&["", "0 tokens", "10,000 tokens", "100,000 tokens"]);
    let plain = {
        let mut setup = Setup::new(machine);
        let port = setup.listen(vec![]);
        let envoy = setup.start(1).await;
        Target::new("plain", port, requests::pool(&signer, 1), 200, envoy.workers_cpu())
            .closed(16, 1000)
            .await;
        envoy.rss()
    };
    table.row(["Envoy, no filter".into(), format!("{plain:.0}"), "-".into(), "-".into()]);
    let mut config = config(&signer);
    config["limits"] = json!({"token_cache_entries": 100_000, "token_cache_bytes": 805_306_368});
    for (name, add) in DOORS {
        let mut setup = Setup::new(machine);
        let port = add(&mut setup, &config);
        let envoy = setup.start(1).await;
        let target =
            Target::new("fill", port, distinct(&signer, u64::MAX), 200, envoy.workers_cpu());
        let mut cells = vec![name.to_owned(), format!("{:.0}", envoy.rss())];
        for more in [10_000, 90_000] {
            if more > effort.tokens() {
                cells.push("-".into());
                continue;
            }
            target.closed(16, more).await;
            cells.push(format!("{:.0}", envoy.rss()));
        }
        table.row(cells);
    }
    let starts = starts(machine, effort, &config).await;
    let bytes = std::fs::metadata(&machine.module).map_or(0, |file| file.len());
    let text = format!(
        "Memory of an Envoy with one worker, by what it remembers (MiB):\n\n{table}\n\
         Until Envoy listens, on {} CPUs (the WebAssembly module has {} kB):\n\n{starts}",
        on_all(machine).len(),
        bytes / 1000
    );
    let data = json!({"memory_mib": table.json(), "start": starts.json()});
    Section { title: "Memory and start", text, bars: Vec::new(), data }
}

/// A door, and how a listener gets it.
type Door = (&'static str, fn(&mut Setup<'_>, &Value) -> u16);

const DOORS: [Door; 2] = [
    ("Gatepass", |setup, config| setup.gatepass(config)),
    ("Gatepass native", |setup, config| setup.native(config)),
];

/// All CPUs of the benchmark: as anybody's Envoy has them.
fn on_all(machine: &Machine) -> Vec<usize> {
    (machine.cpus.client..=machine.cpus.gateway).collect()
}

/// The time until Envoy listens, alone and with each door.
async fn starts(machine: &Machine, effort: &Effort, config: &Value) -> Table {
    let alone: Door = ("Envoy, no filter", |setup, _| setup.listen(vec![]));
    let doors = [alone].into_iter().chain(DOORS);
    let mut took: Vec<(Door, Vec<f64>)> = doors.map(|door| (door, Vec::new())).collect();
    for _ in 0..effort.rounds(5) {
        for ((_, add), took) in &mut took {
            let mut setup = Setup::new(machine);
            add(&mut setup, config);
            let start = Instant::now();
            // The module is compiled on several.
            let envoy = setup.start_on(1, &on_all(machine)).await;
            took.push(start.elapsed().as_secs_f64());
            drop(envoy);
        }
    }
    let mut table = Table::new(&["", "seconds", "more than Envoy alone"]);
    let medians: Vec<_> = took.into_iter().map(|((name, _), took)| (name, median(took))).collect();
    let alone = medians.first().map_or(f64::NAN, |(_, seconds)| *seconds);
    for (name, seconds) in medians {
        table.row([name.to_owned(), format!("{seconds:.2}"), format!("{:.2}", seconds - alone)]);
    }
    table
}

/// One point of a curve: what a request costs there.
struct Point {
    at: f64,
    cpu: f64,
}

/// Cost by number of rules, consumers and tokens, workers, and slow services.
pub async fn curves(machine: &Machine, effort: &Effort) -> (Section, Vec<Curve>) {
    let signer = Rc::new(Signer::new("HS256"));
    let (mut text, mut curves) = (String::new(), Vec::new());
    for (name, sizes, change) in [
        ("rules", [1, 10, 100, 1000, 10_000], rules as fn(&mut Value, usize)),
        ("consumers", [1, 10, 100, 1000, 10_000], consumers),
    ] {
        let points = by_config(machine, effort, &signer, &sizes, change).await;
        text += &curve(
            &mut curves,
            &format!("{name} (the last of them applies)"),
            "us of CPU per request",
            &points,
        );
    }
    let (points, memory) = by_tokens(machine, effort, &signer).await;
    text += &curve(
        &mut curves,
        "distinct tokens in turn (cache of 10,000)",
        "us of CPU per request",
        &points,
    );
    text +=
        &curve(&mut curves, "distinct tokens in turn (cache of 10,000)", "MiB of memory", &memory);
    text += &workers(machine, effort, &mut curves).await;
    let points = by_callout(machine, &signer).await;
    text +=
        &curve(&mut curves, "ms that the user service takes", "us of CPU per request", &points.0);
    text += &curve(
        &mut curves,
        "ms that the user service takes",
        "ms added to that, median",
        &points.1,
    );
    let data =
        curves.iter().map(|Curve { x, y, points }| json!({"x": x, "y": y, "points": points}));
    let data = data.collect();
    (Section { title: "As the work grows", text, bars: Vec::new(), data }, curves)
}

fn curve(curves: &mut Vec<Curve>, x: &str, y: &str, points: &[Point]) -> String {
    let points: Vec<(f64, f64)> = points.iter().map(|point| (point.at, point.cpu)).collect();
    let mut header = vec![x.to_owned()];
    header.extend(points.iter().map(|(x, _)| x.to_string()));
    let mut table = Table::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    table.row([y.to_owned()].into_iter().chain(points.iter().map(|(_, y)| format!("{y:.1}"))));
    curves.push(Curve { x: x.to_owned(), y: y.to_owned(), points });
    format!("{table}\n")
}

fn rules(config: &mut Value, count: usize) {
    let other = |n| json!({"match": {"path_prefix": format!("/other/{n}")}, "requires": {"scopes_all": ["admin"]}});
    let last = json!({"match": {"path_prefix": "/orders"}, "requires": {"scopes_all": ["orders"]}});
    config["rules"] = (1..count).map(other).chain([last]).collect();
}

fn consumers(config: &mut Value, count: usize) {
    let entry = |key: String| json!({"key": key, "id": format!("id-{key}"), "username": key, "groups": ["staff"]});
    let others = (1..count).map(|n| entry(format!("other-{n}")));
    config["consumers"] =
        json!({"entries": others.chain([entry("web".into())]).collect::<Vec<_>>()});
}

/// Requests whose token was seen before, under configurations that grow.
async fn by_config(
    machine: &Machine,
    effort: &Effort,
    signer: &Signer,
    sizes: &[usize],
    change: fn(&mut Value, usize),
) -> Vec<Point> {
    let mut setup = Setup::new(machine);
    let mut ports = Vec::new();
    for size in sizes {
        let mut config = config(signer);
        change(&mut config, *size);
        ports.push(setup.gatepass(&config));
    }
    let envoy = setup.start(1).await;
    let cpu = envoy.workers_cpu();
    let target = |port| Target::new("grows", port, requests::pool(signer, 32), 200, cpu.clone());
    let targets: Vec<_> = ports.into_iter().map(target).collect();
    let slice = Duration::from_millis(100);
    let series = interleave(&targets, Load::Saturating(16), effort.rounds(12), slice).await;
    let point = |(size, series): (&usize, &crate::stats::Series)| Point {
        at: *size as f64,
        cpu: series.median(|slice| slice.cpu),
    };
    sizes.iter().zip(&series).map(point).collect()
}

/// Cost and memory by the number of tokens in use.
async fn by_tokens(
    machine: &Machine,
    effort: &Effort,
    signer: &Rc<Signer>,
) -> (Vec<Point>, Vec<Point>) {
    let mut setup = Setup::new(machine);
    let port = setup.gatepass(&config(signer));
    let envoy = setup.start(1).await;
    let (mut costs, mut memory) = (Vec::new(), Vec::new());
    for count in [10, 100, 1000, 5000, 20_000, 100_000, 1_000_000] {
        if count > effort.tokens() {
            break;
        }
        let target = Target::new("tokens", port, distinct(signer, count), 200, envoy.workers_cpu());
        // Once through all of them, then again: what counts is the second time.
        if count < 100_000 {
            target.closed(16, count).await;
        }
        let slice = target.closed(16, count.clamp(5000, 600_000)).await;
        costs.push(Point { at: count as f64, cpu: slice.cpu });
        memory.push(Point { at: count as f64, cpu: envoy.rss() });
    }
    (costs, memory)
}

/// Throughput and memory by workers, which here share the machine with client
/// and services.
async fn workers(machine: &Machine, effort: &Effort, curves: &mut Vec<Curve>) -> String {
    let signer = Signer::new("RS256");
    let all = on_all(machine);
    let (mut cpus, mut memory) = (Vec::new(), Vec::new());
    for count in [1, 2, 3, 4] {
        let mut setup = Setup::new(machine);
        let port = setup.gatepass(&config(&signer));
        let envoy = setup.start_on(count, &all).await;
        let target =
            Target::new("workers", port, requests::pool(&signer, 64), 200, envoy.workers_cpu());
        target.closed(32, 2000).await;
        let slice = target.closed(32, effort.of(20_000)).await;
        cpus.push(Point { at: count as f64, cpu: slice.cpu });
        memory.push(Point { at: count as f64, cpu: envoy.rss() });
    }
    let cpus = curve(curves, "workers", "us of CPU per request", &cpus);
    cpus + &curve(curves, "workers", "MiB of memory", &memory)
}

/// Cost and latency of requests that ask a slow service.
async fn by_callout(machine: &Machine, signer: &Rc<Signer>) -> (Vec<Point>, Vec<Point>) {
    let mut config = config(signer);
    config["user_info"]["cache"] =
        json!({"ttl_seconds": 0, "stale_if_error_seconds": 0, "max_entries": 0});
    let mut setup = Setup::new(machine);
    let port = setup.gatepass(&config);
    let envoy = setup.start(1).await;
    let cpu: Cpu = envoy.workers_cpu();
    let (mut costs, mut added) = (Vec::new(), Vec::new());
    for delay in [1, 3, 10, 30, 100] {
        let signer = Rc::clone(signer);
        let requests: Requests = Rc::new(move |n| {
            let subject = format!("{n}-slow-{delay}");
            tokens::request(Some(&signer.token(&subject, n)), "")
        });
        let target = Target::new("callout", port, requests, 200, cpu.clone());
        // A rate that keeps the worker half busy at most.
        let slice = target.open(400.0, 800).await;
        costs.push(Point { at: delay as f64, cpu: slice.cpu });
        added.push(Point { at: delay as f64, cpu: slice.p50 / 1000.0 - delay as f64 });
    }
    (costs, added)
}
