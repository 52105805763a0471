//! The matrix of services that fail, as an Envoy has it in `tests/faults`: each cell has to
//! end here as it does there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::asking::{asked, check, event_token, for_each, old_token};
use crate::client::{event, request, send};
use crate::contract::{Cell, Group, Protocol, Service, State, Visit, cells};
use crate::fault::Fault;
use crate::filter::{cluster, filter, filter_name};
use crate::nginx::{Nginx, Setup};
use crate::outcome::{BEFORE, Outcome, after, expected};
use crate::service::{Moment, SHORT_LIFE, Services};
use crate::tokens::Signer;
use crate::wire::Answer;

/// Requests at once: as many as keep nginx busy, and as many as wait for services that are slow.
const BUSY: usize = 4;
const WAITING: usize = 64;

/// How long any request may take, and services until they are believed again.
const LONGEST: Duration = Duration::from_secs(10);
const RECOVERY: Duration = Duration::from_secs(20);

/// An nginx for each configuration, and one set of services for all.
struct Matrix {
    part: fn(Group) -> bool,
    services: Services,
    signer: Signer,
    gateways: BTreeMap<String, Nginx>,
}

impl Matrix {
    async fn start(part: fn(Group) -> bool) -> Self {
        let signer = Signer::es256("public");
        let services = Services::start(signer.jwk.clone());
        let mut matrix = Self { part, services, signer, gateways: BTreeMap::new() };
        let mut filters: BTreeMap<String, Vec<Group>> = BTreeMap::new();
        for group in matrix.groups() {
            filters.entry(filter_name(group)).or_default().push(group);
        }
        for (name, groups) in filters {
            let mut config = filter(&groups, &matrix.signer);
            let port = match cluster(groups[0].fault, groups[0].state) {
                "closing" => matrix.services.closing_port,
                "late" => matrix.services.late_port,
                _ => matrix.services.port,
            };
            config["services"]["faulty"]["upstream"] = json!(format!("127.0.0.1:{port}"));
            let healthy = format!("127.0.0.1:{}", matrix.services.port);
            config["services"]["healthy"]["upstream"] = json!(healthy);
            matrix.gateways.insert(name, Setup::of(config).start().await);
        }
        matrix
    }

    fn cells(&self) -> impl Iterator<Item = Cell> + use<> {
        let part = self.part;
        // An address always is one.
        cells().filter(move |cell| part(cell.group) && cell.group.fault != Fault::Vanished)
    }

    fn groups(&self) -> impl Iterator<Item = Group> + use<> {
        let mut groups: Vec<Group> = self.cells().map(|cell| cell.group).collect();
        groups.dedup();
        groups.into_iter()
    }

    async fn send(
        &self,
        group: Group,
        protocol: Protocol,
        request: axum::http::Request<axum::body::Body>,
    ) -> Answer {
        let ports = self.gateways[&filter_name(group)].ports;
        let port = if protocol == Protocol::Grpc { ports.admin } else { ports.listener };
        send(Ipv4Addr::LOCALHOST, port, protocol, request).await
    }

    async fn ask(&self, cell: Cell, path: &str) -> Answer {
        let sent = asked(&self.signer, cell, path);
        self.send(cell.group, cell.protocol, sent.request).await
    }

    /// Sends a token that a user has had since before, to see whether it is revoked.
    async fn ask_again(&self, cell: Cell) -> Answer {
        let token = old_token(&self.signer, cell);
        let request = request(Protocol::Http, Visit::Required.path(), Some(&token));
        self.send(cell.group, Protocol::Http, request).await
    }

    /// Asks until a cell's user is served, as all are while services work.
    async fn until_served(&self, cell: Cell) -> String {
        let start = Instant::now();
        loop {
            let answer = self.ask(cell, Visit::Required.path()).await;
            if answer.status == 200 && answer.header("grpc-status").is_none() {
                return answer.seen().identity()["country"].as_str().unwrap().to_owned();
            }
            assert!(start.elapsed() < RECOVERY, "{cell} is not served: {answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends an event about nobody until it is accepted.
    async fn until_heard(&self, group: Group) {
        let start = Instant::now();
        loop {
            let token = event_token(&self.signer, group, &format!("{group}.nobody"));
            let event = event(Visit::Event.path(), token);
            let answer = self.send(group, Protocol::Http, event).await;
            if answer.status == 202 {
                return;
            }
            assert!(start.elapsed() < RECOVERY, "{group} is not heard: {answer}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// How a cell ends here. Envoy takes so many fields in a reply; nginx so many bytes.
fn usual(cell: Cell) -> Cell {
    let mut cell = cell;
    if cell.group.fault == Fault::ManyFields {
        cell.group.fault = Fault::OtherMediaType;
    }
    cell
}

fn end(cell: Cell) -> (Outcome, &'static str) {
    expected(usual(cell))
}

async fn all_served(matrix: &Arc<Matrix>, which: fn(&Cell) -> bool, country: Option<&'static str>) {
    let shared = Arc::clone(matrix);
    for_each(WAITING, matrix.cells().filter(which), move |cell| {
        let matrix = Arc::clone(&shared);
        async move {
            let found = matrix.until_served(cell).await;
            assert!(country.is_none_or(|country| found == country), "{cell}: {found}");
        }
    })
    .await;
}

async fn all_heard(matrix: &Arc<Matrix>, which: fn(&Group) -> bool) {
    let shared = Arc::clone(matrix);
    let groups = matrix.groups().filter(|group| group.service.is_of_events()).filter(which);
    for_each(WAITING, groups, move |group| {
        let matrix = Arc::clone(&shared);
        async move { matrix.until_heard(group).await }
    })
    .await;
}

/// What is wrong with the answers to all cells, while services fail.
async fn ask_all(matrix: &Arc<Matrix>) -> (BTreeMap<Outcome, u32>, Vec<String>) {
    let found = Arc::new(Mutex::new((BTreeMap::new(), Vec::new())));
    // Those that wait leave the others alone.
    let ask_some = |is_slow: bool, concurrency| {
        let (asking, results) = (Arc::clone(matrix), Arc::clone(&found));
        let some = matrix.cells().filter(move |cell| cell.group.fault.is_slow() == is_slow);
        for_each(concurrency, some, move |cell| {
            let (matrix, results) = (Arc::clone(&asking), Arc::clone(&results));
            async move {
                let start = Instant::now();
                let mut answers = vec![(matrix.ask(cell, cell.visit.path()).await, end(cell))];
                let took = start.elapsed();
                if let Some(end) = after(usual(cell)) {
                    answers.push((matrix.ask_again(cell).await, end));
                }
                let mut results = results.lock().await;
                if took > LONGEST {
                    results.1.push(format!("{cell}: took {took:?}"));
                }
                for (answer, end) in answers {
                    results.1.extend(check(cell, &answer, end).err());
                    *results.0.entry(end.0).or_default() += 1;
                }
            }
        })
    };
    tokio::join!(ask_some(true, WAITING), ask_some(false, BUSY));
    Arc::into_inner(found).expect("nobody else has it").into_inner()
}

async fn each_cell_ends_as_the_contract_says(part: fn(Group) -> bool) {
    let start = Instant::now();
    let matrix = Arc::new(Matrix::start(part).await);
    println!("{} of nginx after {:.1} s", matrix.gateways.len(), start.elapsed().as_secs_f64());
    let is_known = |cell: &Cell| {
        cell.group.state != State::Cold
            && matches!(cell.visit, Visit::Required | Visit::AllowMissing)
    };
    all_served(&matrix, is_known, Some(BEFORE)).await;
    all_heard(&matrix, |group| group.state != State::Cold).await;
    println!("prepared after {:.1} s", start.elapsed().as_secs_f64());

    let mut matrix = Arc::into_inner(matrix).expect("nobody else has it");
    matrix.services.fail().await;
    // Now everything that is to go stale does.
    sleep(Duration::from_secs(SHORT_LIFE + 1)).await;
    let matrix = Arc::new(matrix);
    let (ends, mut wrong) = ask_all(&matrix).await;
    wrong.sort();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{ends:#?} after {:.1} s", start.elapsed().as_secs_f64());
    for group in matrix.groups() {
        let since = if group.state == State::Cold { Moment::Before } else { Moment::Meanwhile };
        let moments = [Moment::Before, Moment::Meanwhile].into_iter();
        let calls = moments.filter(|moment| *moment >= since);
        let calls: u64 = calls.map(|moment| matrix.services.calls(moment, group)).sum();
        let is_due = group.is_asked() && group.fault != Fault::Refused;
        assert_eq!(calls > 0, is_due, "{group}: asked {calls} times");
    }

    let mut matrix = Arc::into_inner(matrix).expect("nobody else has it");
    matrix.services.recover();
    let matrix = Arc::new(matrix);
    let is_one = |cell: &Cell| cell.visit == Visit::Required && cell.protocol == Protocol::Http;
    all_served(&matrix, is_one, None).await;
    all_heard(&matrix, |_| true).await;
    // Who was told to tell again does, with the same words.
    for cell in matrix.cells().filter(|cell| cell.visit.is_signal()) {
        let status = if cell.visit == Visit::Event { 202 } else { 200 };
        if end(cell).0 != (Outcome::Accepted { status }) {
            let answer = matrix.ask(cell, cell.visit.path()).await;
            assert_eq!(answer.status, status, "{cell}: {answer}");
            let end = (Outcome::Denied { status: 401, code: "token_revoked" }, "it is revoked");
            check(cell, &matrix.ask_again(cell).await, end).unwrap();
        }
    }
    println!("all are believed again after {:.1} s", start.elapsed().as_secs_f64());
    let mut matrix = Arc::into_inner(matrix).expect("nobody else has it");
    for nginx in matrix.gateways.values_mut() {
        // What nginx says of connections that services reset, and nothing else.
        let log = nginx.log();
        let mut errors = log.lines().filter(|line| line.contains("[error]"));
        assert_eq!(errors.find(|line| !line.contains("recv() failed (104")), None);
        nginx.expect_errors();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_a_sender_of_signals_ends_as_the_contract_says() {
    each_cell_ends_as_the_contract_says(|group| group.service.is_of_signals()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_keys_ends_as_the_contract_says() {
    each_cell_ends_as_the_contract_says(|group| group.service.is_of_keys()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_another_service_ends_as_the_contract_says() {
    each_cell_ends_as_the_contract_says(|group| {
        matches!(group.service, Service::Users | Service::Introspection | Service::Login)
    })
    .await;
}

/// A gateway has one list, so that each kind of reply takes an nginx. What was read before is
/// the core's concern, and tried in an Envoy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cell_of_a_feed_that_was_never_read_ends_as_the_contract_says() {
    each_cell_ends_as_the_contract_says(|group| {
        group.service == Service::Feed && group.state == State::Cold
    })
    .await;
}
