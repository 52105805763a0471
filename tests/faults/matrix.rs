//! The matrix: every service with every fault, in every state, for every rule and
//! protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::asking::{Sent, asked, check, event_token, for_each, old_token};
use crate::client::{event, request, send};
use crate::contract::{Cell, Group, Protocol, Service, State, Visit, cells};
use crate::fault::{Fault, TIME_OUT};
use crate::filter::{ABSENT, VANISHING};
use crate::gateway::until;
use crate::outcome::{BEFORE, Outcome, after, expected};
use crate::service::{Moment, SHORT_LIFE};
use crate::setup::{Matrix, Part};
use crate::wire::Answer;

/// Requests at once, of which each waits for turns of a worker that has ticks of hundreds of
/// filters between: as many as keep Envoy busy, and as many as wait for services that are slow.
const BUSY: usize = 32;
const WAITING: usize = 128;

/// How long any request may take: it waits for one service that fails, on a
/// machine that may be busy.
const LONGEST: Duration = Duration::from_secs(10);

/// How long services may take to be believed again: the longest pause between
/// two tries of the feed and the keys, and some time.
const RECOVERY: Duration = Duration::from_secs(20);

#[test]
fn there_are_a_thousand_cells_and_each_has_its_own_name() {
    let names: BTreeSet<String> = cells().map(|cell| cell.to_string()).collect();
    assert_eq!(names.len(), cells().count());
    assert!(cells().count() >= 1000, "{}", cells().count());
    assert!(Fault::ALL.len() >= 22);
    for cell in cells() {
        assert_eq!(Group::of(&cell.to_string()), Some(cell.group), "{cell}");
    }
    // Each way in which a cell can end does occur.
    let outcomes: BTreeSet<Outcome> = cells().map(|cell| expected(cell).0).collect();
    assert_eq!(outcomes.len(), 28, "{outcomes:?}");
}

async fn ask(matrix: &Matrix, cell: Cell, path: &str) -> Answer {
    let Sent { request, secret, token } = asked(&matrix.signer, cell, path);
    secret.iter().for_each(|secret| matrix.gateway.keep_secret(secret));
    token.iter().for_each(|token| matrix.gateway.remember_tokens(token.as_bytes()));
    let (source, port) = (matrix.source(cell.group), matrix.gateway.ports.listener);
    send(source, port, cell.protocol, request).await
}

/// Sends a token that a user has had since before, to see whether it is revoked.
async fn ask_again(matrix: &Matrix, cell: Cell) -> Answer {
    let token = old_token(&matrix.signer, cell);
    matrix.gateway.remember_tokens(token.as_bytes());
    let (source, port) = (matrix.source(cell.group), matrix.gateway.ports.listener);
    let path = Visit::Required.path();
    send(source, port, Protocol::Http, request(Protocol::Http, path, Some(&token))).await
}

/// Lets the filter learn what the cells' states say that it knows.
async fn prepare(matrix: &Arc<Matrix>) {
    let prepared = matrix.cells().filter(|cell| {
        cell.group.state != State::Cold
            && matches!(cell.visit, Visit::Required | Visit::AllowMissing)
    });
    let shared = Arc::clone(matrix);
    for_each(BUSY, prepared, move |cell| {
        let matrix = Arc::clone(&shared);
        async move { assert_eq!(until_served(&matrix, cell).await, BEFORE, "{cell}") }
    })
    .await;
    all_heard(matrix, |group| group.state != State::Cold).await;
}

/// Waits until each of these transmitters is believed.
async fn all_heard(matrix: &Arc<Matrix>, which: fn(&Group) -> bool) {
    let shared = Arc::clone(matrix);
    let groups = matrix.groups().filter(|group| group.service.is_of_events()).filter(which);
    for_each(WAITING, groups, move |group| {
        let matrix = Arc::clone(&shared);
        async move { until_heard(&matrix, group).await }
    })
    .await;
}

/// Sends an event about nobody until it is accepted, as all are while services work.
async fn until_heard(matrix: &Matrix, group: Group) {
    let start = Instant::now();
    loop {
        let token = event_token(&matrix.signer, group, &format!("{group}.nobody"));
        matrix.gateway.remember_tokens(token.as_bytes());
        let (source, port) = (matrix.source(group), matrix.gateway.ports.listener);
        let answer = send(source, port, Protocol::Http, event(Visit::Event.path(), token)).await;
        if answer.status == 202 {
            return;
        }
        assert!(start.elapsed() < RECOVERY, "{group} is not heard: {answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Asks until a cell's user is served, as all are while services work: from some
/// it takes time to be believed. Gives the user's country.
async fn until_served(matrix: &Matrix, cell: Cell) -> String {
    let start = Instant::now();
    loop {
        let answer = ask(matrix, cell, Visit::Required.path()).await;
        if answer.status == 200 && answer.header("grpc-status").is_none() {
            let seen = answer.seen();
            let identity = seen.identity();
            assert_eq!(identity["sub"], cell.to_string().as_str());
            return identity["country"].as_str().expect("a country").to_owned();
        }
        assert!(start.elapsed() < RECOVERY, "{cell} is not served: {answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until of the clusters that are not always there these are.
async fn offer(matrix: &Matrix, clusters: &[&str]) {
    matrix.offer(clusters);
    until("the clusters changed", || async {
        let (port, path) = (matrix.gateway.ports.admin, "/clusters?format=json");
        let all = matrix.gateway.read(port, path).await;
        let all = all["cluster_statuses"].as_array().unwrap();
        let is_there = |name: &str| all.iter().any(|cluster| cluster["name"] == name);
        [VANISHING, ABSENT].iter().all(|name| is_there(name) == clusters.contains(name))
    })
    .await;
}

/// Whether every group met its fault, and none that had no reason to ask.
fn check_faults(matrix: &Matrix) {
    for group in matrix.groups() {
        let since = if group.state == State::Cold { Moment::Before } else { Moment::Meanwhile };
        let calls: u64 = [Moment::Before, Moment::Meanwhile]
            .into_iter()
            .filter(|moment| *moment >= since)
            .map(|moment| matrix.services.calls(moment, group))
            .sum();
        let is_reached = !matches!(group.fault, Fault::Refused | Fault::Vanished);
        assert_eq!(calls > 0, group.is_asked() && is_reached, "{group}: asked {calls} times");
    }
}

/// One part after the other: each keeps an Envoy busy.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_a_feed_ends_as_the_contract_says() {
    let _alone = ALONE.lock().await;
    each_cell_ends_as_the_contract_says(|service| service == Service::Feed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_another_service_ends_as_the_contract_says() {
    let _alone = ALONE.lock().await;
    each_cell_ends_as_the_contract_says(|service| {
        service != Service::Feed && !service.is_of_signals()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_a_sender_of_signals_ends_as_the_contract_says() {
    let _alone = ALONE.lock().await;
    each_cell_ends_as_the_contract_says(Service::is_of_signals).await;
}

async fn each_cell_ends_as_the_contract_says(part: Part) {
    let start = Instant::now();
    let mut matrix = Matrix::start(part).await;
    offer(&matrix, &[VANISHING]).await;
    println!("{} filters after {:.1} s", matrix.filters(), start.elapsed().as_secs_f64());
    let shared = Arc::new(matrix);
    prepare(&shared).await;
    println!("prepared after {:.1} s", start.elapsed().as_secs_f64());

    matrix = Arc::into_inner(shared).expect("nobody else has it");
    // Before anything fails: what is polled until the cluster is gone is not asked meanwhile.
    offer(&matrix, &[]).await;
    matrix.services.fail().await;
    // Now everything that is to go stale does.
    sleep(Duration::from_secs(SHORT_LIFE + 1)).await;
    let upstream = "cluster.upstream.upstream_rq_total";
    let before = matrix.gateway.stat(upstream).await;
    let shared = Arc::new(matrix);
    let (results, mut received) = tokio::sync::mpsc::unbounded_channel();
    // Those that wait leave the others alone.
    let ask_all = |is_slow: bool, concurrency| {
        let (asking, results) = (Arc::clone(&shared), results.clone());
        let some = shared.cells().filter(move |cell| cell.group.fault.is_slow() == is_slow);
        for_each(concurrency, some, move |cell| {
            let (matrix, results) = (Arc::clone(&asking), results.clone());
            async move {
                let start = Instant::now();
                let answer = ask(&matrix, cell, cell.visit.path()).await;
                results.send((cell, expected(cell), answer, start.elapsed())).unwrap();
                if let Some(end) = after(cell) {
                    let start = Instant::now();
                    let answer = ask_again(&matrix, cell).await;
                    results.send((cell, end, answer, start.elapsed())).unwrap();
                }
            }
        })
    };
    tokio::join!(ask_all(true, WAITING), ask_all(false, BUSY));
    drop(results);
    let matrix = Arc::into_inner(shared).expect("nobody else has it");

    let mut wrong = Vec::new();
    let mut ends: BTreeMap<Outcome, u32> = BTreeMap::new();
    while let Some((cell, end, answer, took)) = received.recv().await {
        wrong.extend(check(cell, &answer, end).err());
        if took > LONGEST {
            wrong.push(format!("{cell}: took {took:?} with a time-out of {TIME_OUT:?}"));
        }
        *ends.entry(end.0).or_default() += 1;
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let count: u32 = ends.values().sum();
    let asked_again = matrix.cells().filter(|cell| after(*cell).is_some()).count();
    assert_eq!(count as usize, matrix.cells().count() + asked_again);
    check_faults(&matrix);
    let passed: u32 =
        ends.iter().filter(|(end, _)| end.reaches_upstream()).map(|(_, count)| count).sum();
    let reached = matrix.gateway.stat(upstream).await - before;
    assert_eq!(reached, u64::from(passed), "requests that reached the upstream");
    let took = start.elapsed().as_secs_f64();
    println!("{count} cells after {took:.1} s, each as the contract says:");
    ends.iter().for_each(|(outcome, count)| println!("{count:6}  {outcome:?}"));

    recover(matrix).await;
    println!("all services are believed again after {:.1} s", start.elapsed().as_secs_f64());
}

/// When services work again, so does everything.
async fn recover(mut matrix: Matrix) {
    matrix.services.recover();
    offer(&matrix, &[VANISHING, ABSENT]).await;
    let matrix = Arc::new(matrix);
    let all = matrix
        .cells()
        .filter(|cell| cell.visit == Visit::Required && cell.protocol == Protocol::Http);
    let shared = Arc::clone(&matrix);
    for_each(WAITING, all, move |cell| {
        let matrix = Arc::clone(&shared);
        async move { drop(until_served(&matrix, cell).await) }
    })
    .await;
    all_heard(&matrix, |_| true).await;
    // Who was told to tell again does, with the same words.
    for cell in matrix.cells().filter(|cell| cell.visit.is_signal()) {
        let status = if cell.visit == Visit::Event { 202 } else { 200 };
        if expected(cell).0 != (Outcome::Accepted { status }) {
            let answer = ask(&matrix, cell, cell.visit.path()).await;
            assert_eq!(answer.status, status, "{cell}: {answer}");
            let end = (Outcome::Denied { status: 401, code: "token_revoked" }, "it is revoked");
            check(cell, &ask_again(&matrix, cell).await, end).unwrap();
        }
    }
}
