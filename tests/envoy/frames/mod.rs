//! HTTP/2 as frames: pseudo fields, header blocks, trailers and resets in every form that a
//! client can write, thousands of streams on one Envoy. What reaches a service, over HTTP/1
//! and over HTTP/2, is judged by a model that shares nothing with the gateway.
//!
//! A failure prints its seed and the shortest request that still shows it;
//! `GATEPASS_FUZZ_SEED` runs from there, `GATEPASS_FUZZ_SECONDS` for as long as wanted.

mod generator;
pub mod model;
pub mod upstream;
pub mod wire;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use self::generator::Tokens;
use self::model::People;
use self::upstream::Upstream;
use self::wire::{Case, Client, End, Field};
use crate::bytes::Dice;
use crate::gateway::{Gateway, Setup};
use crate::hostile_heads::lax;
use crate::http2;

/// How many streams are open at once.
const BESIDE: usize = 16;

/// How many a connection has.
const STREAMS: usize = 400;

/// Trailers go on over HTTP/1 too.
const RAW: &str = "http_protocol_options: {enable_trailers: true}";

/// Everything is for one of the two services.
const ROUTES: &str = "              routes:
              - {match: {path: /orders}, route: {cluster: upstream, timeout: 5s}}
              - {match: {prefix: /h2}, route: {cluster: h2, timeout: 5s}}
              - {match: {prefix: /}, route: {cluster: raw, timeout: 5s}}
";

struct Run {
    gateway: Gateway,
    services: (Upstream, http2::Upstream),
    people: People,
    tokens: Tokens,
    /// What was sent, by its number.
    sent: BTreeMap<u64, (u64, Case)>,
    number: u64,
    client: Option<(Client, usize)>,
    arrived: u64,
    ends: BTreeMap<&'static str, u64>,
}

impl Run {
    /// Sends them beside each other; with numbers of their own.
    fn send(&mut self, cases: Vec<(u64, Case)>) {
        let first = self.number;
        for (seed, mut case) in cases {
            case.fields.push(Field::new("x-case", self.number.to_string()));
            self.sent.insert(self.number, (seed, case));
            self.number += 1;
        }
        let cases: Vec<_> = self.sent.range(first..).map(|(_, (_, case))| case).collect();
        let port = self.gateway.ports.listener;
        let (mut client, streams) = self.client.take().unwrap_or_else(|| (Client::open(port), 0));
        let result = client.send(&cases);
        for end in result.as_ref().unwrap_or_else(|ends| ends) {
            let name = match end {
                End::Answered => "answered",
                End::Reset => "reset",
                End::Lost => "lost",
            };
            *self.ends.entry(name).or_default() += 1;
        }
        if result.is_ok() && streams + cases.len() < STREAMS {
            self.client = Some((client, streams + cases.len()));
        }
    }

    /// What is wrong with what the services got since, and the seed that it is of.
    fn look(&mut self) -> Result<(), (Option<u64>, String)> {
        let mut arrived = self.services.0.take();
        arrived.extend(self.services.1.take_seen().into_iter().map(http2::Seen::into_arrived));
        for request in arrived {
            let known = request.case().and_then(|number| self.sent.remove(&number));
            let Some((seed, case)) = known else {
                return Err((None, format!("nobody sent {request:#?}")));
            };
            self.arrived += 1;
            if let Err(what) = self.people.judge(&case, &request) {
                return Err((Some(seed), format!("{what}, in\n{request:?}")));
            }
        }
        Ok(())
    }

    /// Whether it shows by itself, on a connection of its own.
    fn shows(&mut self, case: &Case) -> Option<String> {
        self.client = None;
        self.send(vec![(0, case.clone())]);
        self.client = None;
        thread::sleep(Duration::from_millis(100));
        self.look().err().map(|(_, what)| what)
    }

    /// Without each part that it does not need.
    fn shortest(&mut self, mut case: Case) -> Case {
        loop {
            let fewer = parts(&case).into_iter().find(|fewer| self.shows(fewer).is_some());
            let Some(fewer) = fewer else { return case };
            case = fewer;
        }
    }

    fn fail(&mut self, seed: Option<u64>, what: &str, batch: &[(u64, Case)]) -> ! {
        // What nobody sent came of one of those that were sent together.
        let mut culprits = batch.iter().filter(|(own, _)| seed.is_none_or(|seed| seed == *own));
        let found = culprits.find(|(_, case)| self.shows(case).is_some()).cloned();
        let hide = |text: String| {
            text.replace(&self.tokens.alice, "<alice>").replace(&self.tokens.bob, "<bob>")
        };
        let Some((seed, case)) = found else {
            panic!("{seed:?} shows only with others: {}", hide(what.to_owned()));
        };
        let case = self.shortest(case);
        let what = self.shows(&case).unwrap_or_else(|| what.to_owned());
        let text = format!("GATEPASS_FUZZ_SEED={seed}\n{case:#?}\n\nThe service received {what}");
        let text = text.replace(&self.tokens.alice, "<alice>").replace(&self.tokens.bob, "<bob>");
        panic!("{text}");
    }
}

/// The case without one of its parts each.
fn parts(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut without = |remove: &dyn Fn(&mut Case, usize), count: usize| {
        for at in 0..count {
            let mut fewer = case.clone();
            remove(&mut fewer, at);
            all.push(fewer);
        }
    };
    // Many at once first.
    without(
        &|case, at| drop(case.fields.drain(6 + at * 100..106 + at * 100)),
        case.fields.len().saturating_sub(6) / 100,
    );
    without(&|case, at| _ = case.oddities.remove(at), case.oddities.len());
    without(&|case, at| drop(case.trailers.remove(at)), case.trailers.len());
    without(&|case, at| drop(case.data.remove(at)), case.data.len());
    without(&|case, at| drop(case.fields.remove(at)), case.fields.len());
    all
}

async fn start(setup: Setup) -> Run {
    let services = (Upstream::start(), http2::Upstream::start().await);
    let first = "- {match: {path: /login, methods: [GET, POST]}, bypass: true}";
    let rules = format!(
        "- {{match: {{hosts: [admin.example]}}, requires: {{scopes_all: [admin]}}}}\n                    \
         - {{match: {{headers: [{{name: x-mode, value: admin}}]}}, requires: {{scopes_all: [admin]}}}}\n                    \
         {first}"
    );
    let gateway = setup
        .replace(first, &rules)
        .replace(http2::FIRST_CLUSTER, &services.1.cluster())
        .replace(http2::FIRST_CLUSTER, &http2::cluster("raw", services.0.port, RAW))
        .replace("              routes:\n", ROUTES)
        // A stream that is malformed ends alone, and a connection that is over at once.
        .replace(
            "          http2_protocol_options:\n",
            "          delayed_close_timeout: 0.02s\n          http2_protocol_options:\n            \
             override_stream_error_on_invalid_http_message: true\n",
        )
        .start_beside_others()
        .await;
    gateway.ready().await;
    let tokens = Tokens { alice: gateway.token("alice"), bob: gateway.token("bob") };
    for token in [&tokens.alice, &tokens.bob] {
        gateway.remember_tokens(token.as_bytes());
    }
    let people = People(
        [(tokens.alice.clone(), "alice"), (tokens.bob.clone(), "bob")].into_iter().collect(),
    );
    Run {
        gateway,
        services,
        people,
        tokens,
        sent: BTreeMap::new(),
        number: 1000,
        client: None,
        arrived: 0,
        ends: BTreeMap::new(),
    }
}

fn fuzz(run: &mut Run, streams: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or(1);
    let until = number("GATEPASS_FUZZ_SECONDS").map(|it| Instant::now() + Duration::from_secs(it));
    let mut seed = first;
    let mut batch = Vec::new();
    while until.map_or(seed < first + streams, |until| Instant::now() < until) {
        batch.clear();
        // What ends a connection has one of its own.
        while batch.len() < BESIDE {
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let case = generator::case(&mut dice, &run.tokens);
            seed += 1;
            let ends = case.oddities.iter().any(|oddity| oddity.may_end_connection());
            batch.push((seed - 1, case));
            if ends {
                break;
            }
        }
        run.send(batch.clone());
        if let Err((seed, what)) = run.look() {
            run.fail(seed, &what, &batch);
        }
        // What is answered has arrived; of what was reset something may come yet.
        while run.sent.len() > 1000 {
            run.sent.pop_first();
        }
    }
    thread::sleep(Duration::from_millis(300));
    if let Err((seed, what)) = run.look() {
        run.fail(seed, &what, &batch);
    }
}

/// A preflight with a body that no field announces is none.
fn preflight_with_body(run: &mut Run) {
    let fields = [
        (":method", "OPTIONS"),
        (":scheme", "http"),
        (":authority", "gateway.example"),
        (":path", "/basket/1"),
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
    ];
    let fields = fields.map(|(name, value)| Field::new(name, value)).to_vec();
    let (trailers, oddities) = (Vec::new(), Vec::new());
    let mut case = Case { fields, data: Vec::new(), trailers, oddities };
    assert_eq!(run.shows(&case), None, "as browsers send it");
    assert_eq!(std::mem::take(&mut run.arrived), 1);
    case.data = vec![b"body".to_vec()];
    assert_eq!(run.shows(&case), None);
    assert_eq!(run.arrived, 0, "it is refused");
}

async fn run(setup: Setup) {
    let mut run = start(setup).await;
    block_in_place(|| preflight_with_body(&mut run));
    let began = Instant::now();
    block_in_place(|| fuzz(&mut run, 1500));
    eprintln!("{} arrived, {:?}, {:?}", run.arrived, run.ends, began.elapsed());
    assert!(run.arrived > 200, "{} arrived: too few to tell", run.arrived);
    run.gateway.assert_serves("odd frames").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_frames_a_client_writes_a_service_sees_what_it_may() {
    run(Setup::bundled()).await;
}

/// By an Envoy that leaves everything to the filter, and takes upgrades.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_frames_a_client_writes_through_a_lax_envoy() {
    let upgrades =
        "          upgrade_configs: [{upgrade_type: websocket}]\n          http_filters:\n";
    run(lax().replace("          http_filters:\n", upgrades).replace(
        "            max_concurrent_streams: 100\n",
        "            max_concurrent_streams: 100\n            allow_connect: true\n",
    ))
    .await;
}
