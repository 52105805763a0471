//! What faults cost those who do nothing wrong.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup, until};
use crate::report::{Table, machine};
use crate::tokens::alice;
use crate::traffic::{Enough, Shot, Volley, fire, hostile, orders};
use crate::wire::Connection;

/// Connections that are kept.
const CLIENTS: usize = 4;

pub async fn run(quick: bool) {
    let start = Instant::now();
    let parts = [
        hostile_tenth(if quick { 4 } else { 30 }).await,
        hanging(if quick { 100 } else { 500 }).await,
        endless_tokens(if quick { 20_000 } else { 1_000_000 }).await,
        leaving(if quick { 1000 } else { 10_000 }).await,
    ];
    let command = if quick { "make faults QUICK=1" } else { "make faults" };
    let document =
        format!("# Load with faults\n\n`{command}` on {}.\n\n{}", machine(), parts.join("\n"));
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let path = root.join(if quick { "target/faults.md" } else { "benches/faults.md" });
    fs::write(&path, document).expect("the report can be written");
    println!("{:.0} s in all; results in {}", start.elapsed().as_secs_f64(), path.display());
}

fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn known(gateway: &Gateway) -> Vec<Shot> {
    let users = ["alice", "bob", "carol"];
    users.map(|user| Shot::new(orders(&gateway.token(user)), 200)).into()
}

fn without_mistakes(volley: Volley) -> Volley {
    assert!(volley.wrong.is_empty(), "{}", volley.wrong.join("\n"));
    volley
}

/// One worker, by turns with good requests alone and with every tenth hostile.
async fn hostile_tenth(rounds: usize) -> String {
    let gateway = Setup::bundled().workers(1).start().await;
    gateway.ready().await;
    let (good, bad) = (known(&gateway), hostile(&gateway, 20_000));
    let clean = |n: u64| good[n as usize % good.len()].clone();
    let mixed = |n: u64| match n % 10 {
        0 => bad[n as usize / 10 % bad.len()].clone(),
        _ => clean(n),
    };
    let port = gateway.ports.listener;
    let slice = Enough::After(Duration::from_millis(400));
    let turn = |is_mixed: bool| {
        without_mistakes(block_in_place(|| match is_mixed {
            true => fire(port, CLIENTS, slice, mixed),
            false => fire(port, CLIENTS, slice, clean),
        }))
    };
    turn(false);
    turn(true);
    let rounds: Vec<[Volley; 2]> = (0..rounds)
        .map(|round| match round % 2 {
            0 => [turn(false), turn(true)],
            // So that neither is always the second.
            _ => {
                let mixed = turn(true);
                [turn(false), mixed]
            }
        })
        .collect();
    let of = |value: fn(&Volley) -> f64, which: usize| {
        median(rounds.iter().map(|round| value(&round[which])).collect())
    };
    let ratio = |value: fn(&Volley) -> f64| {
        median(rounds.iter().map(|[clean, mixed]| value(mixed) / value(clean)).collect())
    };
    let mut table = Table::new(&["", "requests/s", "p50, ms", "p99, ms"]);
    let values: [fn(&Volley) -> f64; 3] = [
        Volley::per_second,
        |volley| volley.accepted(50).as_secs_f64() * 1000.0,
        |volley| volley.accepted(99).as_secs_f64() * 1000.0,
    ];
    for (name, which) in [("good requests alone", 0), ("every tenth is hostile", 1)] {
        let [rate, p50, p99] = values.map(|value| of(value, which));
        table.row([name.into(), format!("{rate:.0}"), format!("{p50:.2}"), format!("{p99:.2}")]);
    }
    let [rate, p50, p99] = values.map(ratio);
    table.row(["ratio".into(), format!("{rate:.2}"), format!("{p50:.2}"), format!("{p99:.2}")]);
    format!(
        "## Hostile requests\n\nForged, foreign, ended, oversized and doubled tokens, none of them \
         twice, between good ones that were seen before; one worker, {CLIENTS} connections, {} \
         turns of 0.4 s each; latencies are those of the good ones. All hostile requests were \
         denied, all others served.\n\n{table}",
        rounds.len()
    )
}

/// One worker, whose user service stops to answer.
async fn hanging(strangers: usize) -> String {
    const TIME_OUT: Duration = Duration::from_millis(500);
    let gateway = Setup::bundled().workers(1).start().await;
    gateway.ready().await;
    let (port, known) = (gateway.ports.listener, known(&gateway));
    let next = |n: u64| known[n as usize % known.len()].clone();
    let fire = || block_in_place(|| fire(port, 2, Enough::After(Duration::from_secs(2)), next));
    without_mistakes(fire());
    let before = without_mistakes(fire());
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 60_000})).await;
    let requests: Vec<_> = (0..strangers)
        .map(|n| {
            let claims = alice(json!({"sub": format!("stranger-{n}")}));
            orders(&gateway.services.auth.sign(&claims)).into_bytes()
        })
        .collect();
    // Spread over the time that the others are measured.
    let pause = Duration::from_millis(1400) / strangers as u32;
    let asking = tokio::spawn(async move {
        let mut waiting = Vec::new();
        for request in requests {
            waiting.push(spawn_blocking(move || {
                let mut connection = Connection::open(port);
                let start = Instant::now();
                connection.write(&request);
                let answer = connection.read_answer().expect("an answer");
                (answer.outcome(), start.elapsed())
            }));
            sleep(pause).await;
        }
        let mut waits = Vec::new();
        for answer in waiting {
            let (outcome, waited) = answer.await.unwrap();
            assert_eq!(outcome, "503 user_info_unavailable");
            waits.push(waited);
        }
        waits.sort();
        waits
    });
    let during = without_mistakes(fire());
    let waits = asking.await.unwrap();
    let at = |percent: usize| millis(waits[(waits.len() - 1) * percent / 100]);
    let mut table = Table::new(&["", "p50, ms", "p99, ms", "slowest, ms"]);
    for (name, volley) in [("known users before", &before), ("known users meanwhile", &during)] {
        table.row([
            name.to_owned(),
            millis(volley.accepted(50)),
            millis(volley.accepted(99)),
            millis(volley.accepted(100)),
        ]);
    }
    table.row([
        format!("503 for {} others, time-out {} ms", waits.len(), TIME_OUT.as_millis()),
        at(50),
        at(99),
        at(100),
    ]);
    format!("## A user service that hangs\n\nOne worker.\n\n{table}")
}

/// Ever new tokens of known users; as many are remembered as by default.
async fn endless_tokens(count: u64) -> String {
    let gateway = Setup::bundled().workers(1).start().await;
    gateway.ready().await;
    let port = gateway.ports.listener;
    let fresh = |n: u64| {
        let token = gateway.services.auth.sign(&alice(json!({"jti": n.to_string()})));
        Shot::new(orders(&token), 200)
    };
    let mut table = Table::new(&["tokens", "MiB"]);
    let mut sent = 0;
    for share in [0, 2, 10, 25, 50, 75, 100] {
        let more = count * share / 100 - sent;
        without_mistakes(block_in_place(|| {
            fire(port, CLIENTS, Enough::Requests(more), |n| fresh(sent + n))
        }));
        sent += more;
        table.row([sent.to_string(), format!("{:.1}", gateway.resident_mib())]);
    }
    format!(
        "## Tokens without end\n\nResident memory of Envoy with one worker, which remembers 10,000 \
         tokens.\n\n{table}"
    )
}

/// Clients that reset their connection while their request waits.
async fn leaving(count: usize) -> String {
    const WAVE: usize = 250;
    const TIME_OUT: Duration = Duration::from_secs(30);
    let timeout = format!("timeout_ms: {}", TIME_OUT.as_millis());
    let gateway = Setup::bundled().replace("timeout_ms: 500", &timeout).start().await;
    gateway.ready().await;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 60_000})).await;
    let port = gateway.ports.listener;
    let requests: Vec<_> = (0..WAVE)
        .map(|n| {
            let claims = alice(json!({"sub": format!("stranger-{n}")}));
            orders(&gateway.services.auth.sign(&claims)).into_bytes()
        })
        .collect();
    let mut table = Table::new(&["clients that left", "requests left", "callouts left", "MiB"]);
    for wave in 0..count / WAVE {
        let requests = requests.clone();
        let leaving = spawn_blocking(move || {
            let leaving = requests.iter().map(|request| {
                let mut connection = Connection::open(port);
                connection.write(request);
                connection
            });
            leaving.collect::<Vec<_>>()
        });
        let leaving = leaving.await.unwrap();
        let active = || gateway.stat("http.public.downstream_rq_active");
        let callouts = || gateway.stat("cluster.users.upstream_rq_active");
        until("all wait", || async { active().await == WAVE as u64 }).await;
        leaving.into_iter().for_each(Connection::reset);
        if (wave + 1) % (count / WAVE / 4) == 0 {
            until("all are gone", || async { active().await == 0 }).await;
            table.row([
                ((wave + 1) * WAVE).to_string(),
                active().await.to_string(),
                callouts().await.to_string(),
                format!("{:.1}", gateway.resident_mib()),
            ]);
        }
    }
    gateway.users_fault(json!({"kind": "none"})).await;
    let callouts = || gateway.stat("cluster.users.upstream_rq_active");
    sleep(TIME_OUT).await;
    until("no callout is left", || async { callouts().await == 0 }).await;
    gateway.assert_serves("clients that left").await;
    format!(
        "## Clients that leave while they wait\n\nTwo workers, {WAVE} users. Envoy lets a callout go \
         on whose request is gone, until it is answered or over, after {} s here; whoever comes \
         meanwhile waits for the same one.\n\n{table}",
        TIME_OUT.as_secs()
    )
}
