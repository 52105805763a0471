//! Everything at once, for long: good, hostile and unlucky requests, services that
//! fail in every way, clients that leave.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::contract::{Cell, Group, Protocol, Service, State, Visit};
use crate::fault::Fault;
use crate::gateway::{Gateway, Setup, Vms, until};
use crate::outcome::{Outcome, expected};
use crate::report::{Table, machine};
use crate::service::{Services, reference};
use crate::tokens::alice;
use crate::traffic::{Enough, Shot, fire, hostile, orders};
use crate::wire::{Connection, Request};

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_secs(2);

/// How much more memory may be in use at the end than after the warm-up.
const MAX_GROWTH_MIB: f64 = 16.0;

/// How long services work, and how long they fail.
const SPELL: Duration = Duration::from_secs(5);

/// What one client does, over and over.
struct Role {
    name: &'static str,
    clients: usize,
    /// Between its requests.
    pause: Duration,
    next: Box<Next>,
}

/// The n-th request of a role, and what it may come to.
type Next = dyn Fn(&Gateway, u64) -> (Vec<u8>, String) + Sync;

/// What became of a role's requests.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<String, u64>,
    latencies: Vec<u32>,
    unexpected: Vec<String>,
}

/// Faults whose outcome is the same whenever the service is asked, for users whose
/// old data serves.
fn harmless() -> Vec<Fault> {
    let says_unknown = |fault: &Fault| matches!(fault, Fault::Status(404 | 410));
    reachable().into_iter().filter(|fault| !says_unknown(fault)).collect()
}

/// Users whose service fails in each of these ways now and then.
fn known_users() -> Vec<String> {
    let group = |fault| Group { service: Service::Users, fault, state: State::Stale };
    harmless().into_iter().map(|fault| group(fault).to_string()).collect()
}

/// Faults of a service that is there.
fn reachable() -> Vec<Fault> {
    let is_there = |fault: &Fault| !matches!(fault, Fault::Refused | Fault::Vanished);
    Fault::ALL.into_iter().filter(is_there).collect()
}

fn of<T: Copy>(all: &[T], n: u64) -> T {
    all[n as usize % all.len()]
}

/// The outcome that the contract gives to a request about this group.
fn outcome(group: Group) -> String {
    let cell = Cell { group, visit: Visit::Required, protocol: Protocol::Http };
    match expected(cell).0 {
        Outcome::Denied { status, code } => format!("{status} {code}"),
        _ => "200".to_owned(),
    }
}

fn sign(gateway: &Gateway, subject: &str, n: u64) -> String {
    gateway.services.auth.sign(&alice(json!({"sub": subject, "jti": n.to_string()})))
}

fn roles(gateway: &Gateway) -> Vec<Role> {
    let served = "200".to_owned();
    let users = known_users();
    let known: Vec<Vec<u8>> =
        users.iter().map(|user| orders(&sign(gateway, user, 0)).into_bytes()).collect();
    let bad: Vec<Shot> = hostile(gateway, 2000);
    let (faults, last) = (reachable(), AtomicU64::new(0));
    let unlucky = move |service: Service, n: u64| {
        let group = Group { service, fault: of(&faults, n), state: State::Cold };
        let serial = last.fetch_add(1, Ordering::Relaxed);
        (format!("{group}.{serial}"), outcome(group))
    };
    let unlucky = std::sync::Arc::new(unlucky);
    let (users_fail, issuer_fails) = (unlucky.clone(), unlucky);
    let open = ["/assets/shop.css", "/catalog", "/health"];
    vec![
        Role {
            name: "known users",
            clients: 4,
            pause: Duration::from_millis(4),
            next: {
                let served = served.clone();
                Box::new(move |_, n| (known[n as usize % known.len()].clone(), served.clone()))
            },
        },
        Role {
            name: "new tokens",
            clients: 2,
            pause: Duration::from_millis(8),
            next: Box::new(move |gateway, n| {
                let user = &users[n as usize % users.len()];
                (orders(&sign(gateway, user, n)).into_bytes(), served.clone())
            }),
        },
        Role {
            name: "hostile",
            clients: 2,
            pause: Duration::from_millis(20),
            next: Box::new(move |_, n| {
                let shot = &bad[n as usize % bad.len()];
                // Whether a key exists is not known while fetches fail.
                (shot.bytes.to_vec(), format!("{}|503 keys_unavailable", shot.status))
            }),
        },
        Role {
            name: "users whose service fails",
            clients: 12,
            pause: Duration::from_millis(20),
            next: Box::new(move |gateway, n| {
                let (subject, outcome) = users_fail(Service::Users, n);
                (orders(&sign(gateway, &subject, n)).into_bytes(), outcome)
            }),
        },
        Role {
            name: "references whose issuer fails",
            clients: 12,
            pause: Duration::from_millis(20),
            next: Box::new(move |_, n| {
                let (subject, outcome) = issuer_fails(Service::Introspection, n);
                (orders(&reference(&subject)).into_bytes(), outcome)
            }),
        },
        Role {
            name: "open and anonymous",
            clients: 1,
            pause: Duration::from_millis(10),
            next: Box::new(move |_, n| (Request::get(of(&open, n)).into_bytes(), "200".to_owned())),
        },
    ]
}

/// One client of a role, until it is over.
fn play(gateway: &Gateway, role: &Role, first: u64, over: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::open(gateway.ports.listener);
    let numbers = (first..).step_by(role.clients);
    for n in numbers.take_while(|_| !over.load(Ordering::Relaxed)) {
        let (request, expected) = (role.next)(gateway, n);
        if n % 997 == 0 {
            gateway.remember_tokens(&request);
        }
        let sent = Instant::now();
        connection.write(&request);
        let Some(answer) = connection.read_answer() else {
            tally.unexpected.push(format!("hung up instead of {expected}"));
            connection = Connection::open(gateway.ports.listener);
            continue;
        };
        if answer.header("connection") == Some("close") {
            connection = Connection::open(gateway.ports.listener);
        }
        let outcome = answer.outcome();
        // Hostile requests are denied for more reasons than are told apart here.
        let status = answer.status.to_string();
        if !expected.split('|').any(|expected| outcome == expected || status == expected) {
            tally.unexpected.push(format!("not {expected}: {answer}"));
        }
        *tally.outcomes.entry(outcome).or_default() += 1;
        tally.latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        thread::sleep(role.pause);
    }
    tally
}

/// Clients that leave while they wait for a user service that hangs.
fn leave(gateway: &Gateway, runtime: &Handle, over: &AtomicBool) -> u64 {
    let _entered = runtime.enter();
    let group = Group { service: Service::Users, fault: Fault::Hang, state: State::Cold };
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            return n;
        }
        let request = orders(&sign(gateway, &format!("{group}.left-{n}"), n)).into_bytes();
        let mut connection = Connection::open(gateway.ports.listener);
        connection.write(&request);
        thread::sleep(Duration::from_millis(n % 30));
        connection.reset();
    }
    0
}

/// Lets every worker know the users whose old data is to serve: a connection stays
/// with one worker, and of so many each has some.
fn introduce(gateway: &Gateway) {
    let users: Vec<_> =
        known_users().iter().map(|user| Shot::new(orders(&sign(gateway, user, 0)), 200)).collect();
    for _ in 0..16 {
        let count = users.len() as u64;
        let volley =
            fire(gateway.ports.listener, 1, Enough::Requests(count), |n| users[n as usize].clone());
        assert!(volley.wrong.is_empty(), "{}", volley.wrong.join("\n"));
    }
}

/// The bundled configuration, with services that fail and caches that are soon full.
async fn start(services: &Services) -> Gateway {
    let limits = "errors: {realm: shop}\nlimits: {token_cache_entries: 2000}";
    let secret = "a-secret-of-the-gateways-0123456789";
    let gateway = Setup::bundled()
        .service("faulty", services.port)
        .replace("{upstream: faulty, timeout_ms: 1000}", "{upstream: faulty, timeout_ms: 3000}")
        .replace("service: users\n", "service: faulty\n")
        .replace("country: /address/country", "country: /country")
        .replace_block(
            "cache: {ttl",
            "cache: {ttl_seconds: 2, stale_if_error_seconds: 86400, max_entries: 1000}",
        )
        .replace(
            "path: /.well-known/jwks.json}",
            "path: /.well-known/jwks.json, cache_seconds: 2, unknown_kid_cooldown_seconds: 2}",
        )
        .replace_block(
            "feed:",
            "feed: {service: faulty, path: /feed/Feed.Status500.Stale, poll_seconds: 1}",
        )
        .provider_field(&format!(
            "introspection: {{service: faulty, path: /introspect, client_id: gateway, \
             client_secret: {secret}, cache: {{max_entries: 1000}}}}"
        ))
        .replace_block("errors:", limits)
        .secret(secret)
        .start()
        .await;
    gateway.ready().await;
    gateway
}

/// Runs for so long; fails when a bound is broken.
pub async fn run(time: Duration) -> ExitCode {
    // The services' own key is not needed: the shop's auth service signs.
    let services = Services::start(json!({}));
    let gateway = start(&services).await;
    let vms = Vms::count(gateway.ports.admin);
    tokio::task::block_in_place(|| introduce(&gateway));
    let roles = roles(&gateway);
    let tallies: Vec<Mutex<Tally>> = roles.iter().map(|_| Mutex::default()).collect();
    let (over, left) = (AtomicBool::new(false), AtomicU64::new(0));
    let (begun, runtime) = (Instant::now(), Handle::current());
    let (mut memory, mut stall) = (Vec::new(), Duration::ZERO);
    thread::scope(|scope| {
        for (role, total) in roles.iter().zip(&tallies) {
            for client in 0..role.clients {
                let (gateway, over) = (&gateway, &over);
                scope.spawn(move || {
                    let tally = play(gateway, role, client as u64, over);
                    let mut total = total.lock().unwrap();
                    total.unexpected.extend(tally.unexpected);
                    total.latencies.extend(tally.latencies);
                    for (outcome, count) in tally.outcomes {
                        *total.outcomes.entry(outcome).or_default() += count;
                    }
                });
            }
        }
        scope.spawn(|| left.store(leave(&gateway, &runtime, &over), Ordering::Relaxed));
        // A thread of its own, since threads of the runtime do not block here.
        tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let mut works = true;
                let mut turn = begun + SPELL;
                while begun.elapsed() < time {
                    let asleep = Instant::now();
                    sleep(SAMPLE).await;
                    stall = stall.max(asleep.elapsed().saturating_sub(SAMPLE));
                    memory.push((begun.elapsed().as_secs_f64(), gateway.resident_mib()));
                    if Instant::now() > turn {
                        turn += SPELL;
                        works = !works;
                        set(&services, &gateway, works).await;
                    }
                }
            });
        });
        over.store(true, Ordering::Relaxed);
    });
    set(&services, &gateway, true).await;
    until("no request is left", || async {
        gateway.stat("http.public.downstream_rq_active").await == 0
            && gateway.stat("cluster.faulty.upstream_rq_active").await == 0
    })
    .await;
    let served = gateway.get("/orders", &sign(&gateway, "Users.Reset.Stale", 0)).await.outcome();
    let report = Report {
        time: begun.elapsed(),
        restarts: vms.restarts_until(&Vms::count(gateway.ports.admin)),
        callouts: gateway.stat("cluster.faulty.upstream_rq_total").await,
        callouts_left: gateway.stat("cluster.faulty.upstream_rq_active").await,
        roles: roles.iter().map(|role| role.name).zip(tallies).collect(),
        left: left.into_inner(),
        memory,
        stall,
        served,
    };
    let (text, broken) = report.write();
    let path = Path::new(env!("CARGO_WORKSPACE_DIR")).join("target/soak.md");
    fs::write(&path, &text).expect("the report can be written");
    println!("{text}\nThis report is in {}", path.display());
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Lets the services work or fail; keys and revocations are kept for longer.
async fn set(services: &Services, gateway: &Gateway, works: bool) {
    services.set_failing(!works);
    let kind = if works { "none" } else { "truncated" };
    gateway.jwks_fault(json!({"kind": kind})).await;
}

struct Report {
    time: Duration,
    restarts: u64,
    callouts: u64,
    callouts_left: u64,
    roles: Vec<(&'static str, Mutex<Tally>)>,
    left: u64,
    memory: Vec<(f64, f64)>,
    /// How long the machine had no time for this program.
    stall: Duration,
    /// What a good request got afterwards.
    served: String,
}

impl Report {
    /// The text, and whether a bound is broken.
    fn write(self) -> (String, bool) {
        let Self { time, restarts, callouts, callouts_left, roles, left, memory, stall, served } =
            self;
        let mut table =
            Table::new(&["", "requests", "outcomes", "p50, ms", "p99, ms", "unexpected"]);
        let (mut total, mut unexpected, mut failures) = (0, Vec::new(), 0);
        for (name, tally) in roles {
            let mut tally = tally.into_inner().unwrap();
            tally.latencies.sort_unstable();
            let count = tally.latencies.len();
            let at = |percent: usize| {
                let micros = tally.latencies.get(count.saturating_sub(1) * percent / 100);
                format!("{:.1}", micros.copied().map_or(f64::NAN, |us| f64::from(us) / 1000.0))
            };
            let outcomes = tally.outcomes.iter();
            let outcomes: Vec<_> =
                outcomes.map(|(outcome, count)| format!("{count} x {outcome}")).collect();
            table.row([
                name.to_owned(),
                count.to_string(),
                outcomes.join(", "),
                at(50),
                at(99),
                tally.unexpected.len().to_string(),
            ]);
            total += count;
            failures += tally.unexpected.iter().filter(|line| line.contains(": 5")).count();
            unexpected.extend(tally.unexpected.into_iter().map(|line| format!("{name}: {line}")));
        }
        // The first third is the warm-up.
        let after = &memory[memory.len() / 3..];
        let third = (after.len() / 3).max(1);
        let mean = |samples: &[(f64, f64)]| {
            samples.iter().map(|(_, mib)| mib).sum::<f64>() / samples.len() as f64
        };
        let growth = mean(&after[after.len() - third..]) - mean(&after[..third]);
        let slope = slope(after) * 3600.0;
        let bounds = [
            (format!("{restarts} VMs started anew"), restarts == 0),
            (format!("{failures} unexpected 5xx"), failures == 0),
            (format!("{} unexpected answers in all", unexpected.len()), unexpected.is_empty()),
            (format!("{growth:+.1} MiB after the warm-up"), growth < MAX_GROWTH_MIB),
            (format!("{callouts_left} callouts left"), callouts_left == 0),
            (format!("a good request afterwards: {served}"), served == "200"),
        ];
        let mut text = format!(
            "# Soak\n\n{:.0} s on {}: {total} requests, {callouts} callouts, {left} clients that \
             left.\n\n{table}\nMemory: {:.0} MiB at first, {:.0} after the warm-up, {:.0} in the \
             end; {slope:+.1} MiB an hour by regression.\n\nThe machine itself stalled for up to \
             {:.0} ms: time-outs are 3 s, and where that is near, what is unexpected is its doing.\n\n",
            time.as_secs_f64(),
            machine(),
            memory.first().map_or(f64::NAN, |(_, mib)| *mib),
            mean(&after[..third]),
            memory.last().map_or(f64::NAN, |(_, mib)| *mib),
            stall.as_secs_f64() * 1000.0,
        );
        for (bound, holds) in &bounds {
            let mark = if *holds { "ok" } else { "BROKEN" };
            let _ = writeln!(text, "- {bound}: {mark}");
        }
        unexpected.truncate(20);
        for line in &unexpected {
            let _ = writeln!(text, "- {line}");
        }
        (text, bounds.iter().any(|(_, holds)| !holds))
    }
}

/// MiB per second by least squares.
fn slope(samples: &[(f64, f64)]) -> f64 {
    let count = samples.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| samples.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let products = samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum::<f64>();
    let squares = samples.iter().map(|sample| (sample.0 - x).powi(2)).sum::<f64>();
    products / squares
}
