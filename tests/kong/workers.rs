//! Workers: the collector at every step, reloads under load, other configurations, vaults.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::nginx::{Caller, Nginx, Setup, until};
use crate::stack::keys;
use crate::wire::{Connection, Request};

/// Collections without a pause, and a full one before each call of the library.
const COLLECT: &str = "
  collectgarbage('setpause', 0)
  local ffi = require 'ffi'
  local load = ffi.load
  ffi.load = function(...)
    local library = load(...)
    return setmetatable({}, { __index = function(_, name)
      local call = library[name]
      -- What the collector itself calls.
      if name == 'gatepass_free' then return call end
      return function(...)
        collectgarbage() collectgarbage()
        return call(...)
      end
    end })
  end ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_takes_nothing_that_is_lent() {
    for caller in [Caller::Kong, Caller::OpenResty] {
        let nginx = Setup::bundled().init(COLLECT).caller(caller).start().await;
        nginx.ready().await;
        for round in 0..30 {
            let username = ["alice", "bob", "carol"][round % 3];
            let request = Request::get(&format!("/orders?round={round}"))
                .bearer(&nginx.token(username))
                .with("x-consumer-id", "forged")
                .with("x-long", "x".repeat(200 * round));
            let answer = nginx.send(request).await;
            assert_eq!(answer.seen().identity()["sub"], username, "{answer}");
            let answer = nginx.send(Request::get("/orders").bearer("a.b.c")).await;
            assert_eq!(answer.outcome(), "401 token_malformed");
        }
    }
}

/// Clients that go on until they are told to stop; counts of answers by status.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: JoinSet<Vec<String>>,
}

impl Load {
    fn start(nginx: &Nginx) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for username in ["alice", "bob", "carol"] {
            let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
            let (port, token) = (nginx.ports.listener, nginx.token(username));
            clients.spawn_blocking(move || {
                let mut wrong = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let request = Request::get("/orders").bearer(&token);
                    match Connection::open(port).send(&request.into_bytes()) {
                        Some(answer) if answer.status == 200 => {
                            good.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(answer) => wrong.push(answer.outcome()),
                        None => wrong.push("nothing".to_owned()),
                    }
                }
                wrong
            });
        }
        Self { stop, good, clients }
    }

    /// Waits until some more were answered, which takes as long as the machine is busy.
    async fn goes_on(&self) {
        const SOME: u64 = 25;
        let enough = self.good.load(Ordering::Relaxed) + SOME;
        until("more requests are answered", || async {
            self.good.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    /// Every answer was a good one.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let wrong = self.clients.join_all().await.concat();
        assert_eq!(wrong, [""; 0], "beside {}", self.good.load(Ordering::Relaxed));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_request_is_lost_in_reloads() {
    let nginx = Setup::bundled().workers(2).start().await;
    nginx.ready().await;
    let load = Load::start(&nginx);
    for _ in 0..5 {
        sleep(Duration::from_millis(400)).await;
        load.goes_on().await;
        nginx.signal(Signal::SIGHUP);
    }
    sleep(Duration::from_millis(600)).await;
    load.goes_on().await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_request_is_lost_in_changes_of_the_configuration() {
    let setup = Setup::bundled();
    let config = setup.config.clone();
    let nginx = setup.start().await;
    nginx.ready().await;
    let config = nginx.with_ports(config);
    let load = Load::start(&nginx);
    for round in 0..8 {
        let mut other = config.clone();
        other["claim_to_headers"] = json!([{"header": "x-round", "claim": ["country"]}]);
        other["identity_token"]["claims"] = json!({"set": {"round": round}});
        nginx.reconfigure(&other).await;
        sleep(Duration::from_millis(200)).await;
        load.goes_on().await;
    }
    load.end().await;
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(answer.seen().identity()["round"], 7);
    assert_eq!(answer.seen().values("x-round"), ["ES"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_come_from_vaults_and_may_change() {
    const KEY: &str = "{vault://env/gatepass-key}";
    let first = keys::p256_pem();
    let mut nginx = Setup::bundled()
        .set(
            "/identity_token/signing_keys",
            json!([{"algorithm": "ES256", "private_key": {"vault": KEY}}]),
        )
        .start()
        .await;
    nginx.expect_errors();
    let answer = nginx.send(Request::get("/health")).await;
    assert_eq!(answer.outcome(), "503 configuration_invalid", "the vault has none");
    until("it is said", || async { nginx.log().contains(KEY) }).await;
    nginx.write_vaults(&json!({ KEY: first }));
    let kid = || async {
        let answer = nginx.send(Request::get("/.well-known/gatepass/jwks.json")).await;
        if answer.status != 200 {
            return String::new();
        }
        answer.json()["keys"][0]["kid"].as_str().unwrap().to_owned()
    };
    until("the key is there", || async { !kid().await.is_empty() }).await;
    let before = kid().await;
    nginx.write_vaults(&json!({ KEY: keys::p256_pem() }));
    until("the key is another", || async { kid().await != before }).await;
    // A vault that is lost, or holds nonsense, takes nothing away.
    let now = kid().await;
    nginx.write_vaults(&json!({ KEY: "no key" }));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(kid().await, now);
    assert!(!nginx.log().contains("no key"), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_counted_is_on_the_page_of_the_prometheus_plugin() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    for _ in 0..3 {
        assert_eq!(nginx.get("/orders", &nginx.token("alice")).await.status, 200);
        assert_eq!(nginx.send(Request::get("/orders")).await.status, 401);
    }
    let page = || async {
        let answer = nginx.send(Request::get("/stub/metrics")).await;
        String::from_utf8(answer.body).unwrap()
    };
    let expected = [
        "gatepass_requests_total{outcome=allowed,code=none} 3",
        "gatepass_requests_total{outcome=denied,code=token_missing} 3",
        "gatepass_minted_total{} 3",
        "gatepass_fetches_total{service=users,result=2xx} 1",
    ];
    until("it is counted", || async {
        let page = page().await;
        expected.iter().all(|line| page.lines().any(|other| other == *line))
    })
    .await;
    assert!(page().await.contains("gatepass_callout_milliseconds{service=users}"));
    // One in 64 requests of a worker is measured.
    for _ in 0..140 {
        assert_eq!(nginx.send(Request::get("/health")).await.status, 200);
    }
    let measured = || async { page().await.contains("gatepass_processing_microseconds{}") };
    until("requests are measured", measured).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let (port, token) = (nginx.ports.listener, nginx.token("alice"));
    let run = move || {
        let request = Request::get("/orders").bearer(&token).into_bytes();
        let denied = Request::get("/orders").bearer("a.b.c").into_bytes();
        let mut connection = Connection::open(port);
        for round in 0..900 {
            // nginx closes after a thousand.
            if round % 300 == 0 {
                connection = Connection::open(port);
            }
            assert_eq!(connection.send(&request).expect("an answer").status, 200);
            assert_eq!(connection.send(&denied).expect("an answer").status, 401);
        }
    };
    let run = Arc::new(run);
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let run = Arc::clone(&run);
        spawn_blocking(move || run()).await.unwrap();
        sizes.push(nginx.worker_kib());
    }
    let grown = sizes[3].saturating_sub(sizes[1]);
    assert!(grown < 2048, "grew by {grown} KiB: {sizes:?}");
}

/// Vaults are asked over the network, for which a worker that starts has no sockets yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_start_have_their_secrets_with_the_first_request() {
    const KEY: &str = "{vault://remote/gatepass-key}";
    let key = json!([{"algorithm": "ES256", "private_key": {"vault": KEY}}]);
    let setup = Setup::bundled().set("/identity_token/signing_keys", key).workers(2);
    let nginx = setup.vaults(json!({ KEY: keys::p256_pem() })).start().await;
    let requests = (0..20).map(|_| Request::get("/health")).collect();
    assert_eq!(nginx.send_at_once(requests).await, ["200"; 20]);
    nginx.signal(Signal::SIGHUP);
    for _ in 0..100 {
        assert_eq!(nginx.send(Request::get("/health")).await.outcome(), "200");
    }
}

/// A gateway that waits in its tick, for the database say, while others come and go and the
/// next tick runs.
const TICKS: &str = r#"
  location = /ticks { content_by_lua_block {
    local worker = require("kong.plugins.gatepass.worker").new({})
    local ticks, is_first = {}, true
    local function meanwhile() end
    local function opened(name)
      local gateway = { measure = function() end, is_idle = function() return true end }
      function gateway.tick()
        ticks[name] = (ticks[name] or 0) + 1
        meanwhile()
      end
      return gateway
    end
    local function enter(name)
      worker.entries[name] = { gateway = opened(name), references = 0, refresh_at = 0 }
    end
    for i = 1, 3 do
      enter("old-" .. i)
      worker.retired[i] = opened("retired-" .. i)
    end
    function meanwhile()
      if is_first then
        is_first = false
        for i = 1, 100 do enter("new-" .. i) end
        worker:tick()
      end
    end
    worker:tick()
    local told = {}
    for name, count in pairs(ticks) do told[#told + 1] = name .. "=" .. count end
    table.sort(told)
    ngx.say(#worker.retired, " ", #told, " ", table.concat(told, " "))
  } }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_come_and_go_while_one_waits_in_its_tick() {
    let nginx = Setup::bundled().server(TICKS).start().await;
    let answer = nginx.send(Request::get("/ticks")).await;
    assert_eq!(answer.status, 200, "{answer}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.starts_with("0 106 "), "none retired, all ticked: {text}");
    for gateway in ["old-1=2", "old-2=2", "old-3=2", "new-1=1", "new-100=1"] {
        assert!(text.contains(gateway), "{gateway}: {text}");
    }
}

/// A clock that can be set back, and Kong's timers, which then stand still.
const CLOCK: &str = "
  local real, shift = ngx.now, 0
  ngx.now = function() return real() + shift end
  set_back = function(seconds) shift = shift - seconds end
  native_timer_every = ngx.timer.every
  ngx.timer.every = function() return true end ";

/// The feed goes on being polled, and what is counted is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_back_stops_nothing() {
    let page = "location = /set_back { content_by_lua_block { set_back(3600) ngx.say() } }";
    let nginx = Setup::bundled().init(CLOCK).server(page).start().await;
    nginx.ready().await;
    assert_eq!(nginx.send(Request::get("/set_back")).await.status, 200);
    let first = fetches(&nginx).await;
    until("the feed was polled, and that was counted", || async {
        fetches(&nginx).await > first + 1
    })
    .await;
}

/// How many calls of the auth service succeeded, as the metrics have it.
async fn fetches(nginx: &Nginx) -> u64 {
    let answer = nginx.send(Request::get("/stub/metrics")).await;
    let page = String::from_utf8(answer.body).unwrap();
    let name = "gatepass_fetches_total{";
    let of_auth = |line: &&str| line.starts_with(name) && line.contains("auth");
    page.lines()
        .filter(of_auth)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Kong's timers, which a worker that shuts down no longer runs after a while.
const ENDING: &str = "
  native_timer_at = ngx.timer.at
  ngx.timer.at = function(...)
    return ngx.worker.exiting() or native_timer_at(...)
  end ";

/// Its requests may have begun before, and still need calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_shuts_down_still_calls_services() {
    let nginx = Setup::bundled().init(ENDING).start().await;
    nginx.ready().await;
    let request = Request::get("/orders").bearer(&nginx.token("alice")).into_bytes();
    let (first, rest) = request.split_at(20);
    let mut stream = TcpStream::connect(("127.0.0.1", nginx.ports.listener)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(first).unwrap();
    sleep(Duration::from_millis(300)).await;
    nginx.signal(Signal::SIGHUP);
    sleep(Duration::from_secs(1)).await;
    stream.write_all(rest).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}
