//! Streams that begin, go on, wait, end and leave in any order that Envoy can bring
//! about, with replies of any kind, and now and then a panic.
//!
//! For longer, and with another seed each time: `GATEPASS_FUZZ_SECONDS=60`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::host::{CONTINUE, Envoy, LOG, Request, Route, STOP, STOP_ALL};
use crate::{bearer, configuration};

/// xorshift: the same run for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % bound
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// A request, and how far Envoy has come with it.
struct Open<'a> {
    request: Request<'a>,
    /// Whether it may ever pass.
    is_good: bool,
    /// What its head came to.
    status: Option<u32>,
    ended: bool,
}

impl Open<'_> {
    fn is_decided(&self) -> bool {
        self.request.is_over() || self.request.status() != 0
    }

    /// What must hold of it at any time.
    fn check(&self, seed: u64) {
        let passes = self.status == Some(CONTINUE) || self.request.continued() > 0;
        assert!(self.request.continued() <= 1, "seed {seed}: it went on twice");
        assert!(!passes || self.is_good, "seed {seed}: it passes");
        // Its trailers come when its gateway has panicked.
        let broke_off = self.request.answered() == Some(500);
        assert!(!passes || broke_off || self.request.answered().is_none(), "seed {seed}: both");
    }
}

const REPLIES: [Option<(&str, &str)>; 5] = [
    Some(("200", r#"{"sub": "alice", "country": "ES"}"#)),
    Some(("404", "")),
    Some(("500", "no")),
    Some(("200", "[")),
    None,
];

fn open<'a>(envoy: &'a Envoy, route: Option<&Route>, random: &mut Random) -> Open<'a> {
    let user = ["alice", "bob", "carol"][random.below(3)];
    let authorization = bearer(user);
    let forged = authorization.replace('.', ".A");
    let (head, is_good): (Vec<(&str, &str)>, bool) = match random.below(6) {
        0 => (vec![], false),
        1 => (vec![("authorization", &forged)], false),
        2 => (vec![(":path", "/health")], true),
        3 => {
            let head =
                [(":method", "POST"), (":path", "/revoke"), ("content-length", "6")].into_iter();
            (head.chain([("authorization", authorization.as_str())]).collect(), false)
        }
        _ => (vec![("authorization", &authorization), ("x-consumer-id", "root")], true),
    };
    let mut request = envoy.open(&head);
    if let Some(route) = route.filter(|_| random.one_in(3)) {
        request = request.on(route);
    }
    if random.one_in(50) {
        request = request.lying(usize::MAX);
    }
    request.leave_open(random.one_in(2));
    Open { request, is_good, status: None, ended: false }
}

fn step(envoy: &Envoy, open: &mut Open<'_>, random: &mut Random) {
    if open.request.is_over() {
        return;
    }
    if random.one_in(12) {
        return open.request.leave();
    }
    match open.status {
        None => {
            let end = random.one_in(2);
            open.ended = end;
            open.status = Some(open.request.headers(end));
        }
        // Nothing comes in until it goes on.
        Some(STOP_ALL) if open.request.continued() == 0 => {
            if random.one_in(4) {
                open.request.keep_body("kept");
            }
        }
        Some(_) if !open.ended => match random.below(3) {
            0 => {
                open.ended = true;
                open.request.trailers(&[("x-consumer-id", "root"), ("x-sum", "1")]);
            }
            at => {
                open.ended = at == 1;
                open.request.body("abc", open.ended);
            }
        },
        Some(_) => {}
    }
    let _ = envoy;
}

fn run(seed: u64) -> usize {
    let mut random = Random(seed | 1);
    let mut route = configuration();
    route["errors"] = json!({"realm": "route"});
    let route = Route::new(&route.to_string()).unwrap();
    let envoy = Envoy::start(&configuration().to_string()).unwrap();
    let mut streams: Vec<Open<'_>> = Vec::new();
    let mut begun = 0;
    for _ in 0..400 {
        match random.below(5) {
            0 => {
                begun += 1;
                streams.push(open(&envoy, Some(&route), &mut random));
            }
            1 => {
                let callouts = envoy.callouts();
                if !callouts.is_empty() {
                    let (number, _) = callouts[random.below(callouts.len())];
                    envoy.reply(number, REPLIES[random.below(REPLIES.len())]);
                }
            }
            2 => envoy.run(),
            _ if streams.is_empty() => {}
            _ => {
                let at = random.below(streams.len());
                step(&envoy, &mut streams[at], &mut random);
                streams[at].check(seed);
            }
        }
    }
    // All replies come; then nobody waits.
    for (number, _) in envoy.callouts() {
        envoy.reply(number, None);
    }
    for open in &streams {
        open.check(seed);
        let waits = open.status == Some(STOP_ALL) && open.request.continued() == 0;
        assert!(!waits || open.is_decided(), "seed {seed}: it waits for ever");
        let held = open.status == Some(STOP) && open.ended;
        assert!(!held || open.is_decided(), "seed {seed}: it was read and not answered");
    }
    begun
}

#[test]
fn streams_in_any_order_end_once_each_and_leave_nothing() {
    let seconds = std::env::var("GATEPASS_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let first = match seconds {
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        None => 1,
    };
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut begun = 0;
    for seed in first.. {
        begun += run(seed);
        LOG.take();
        if seed >= first + 20 && Instant::now() >= end {
            break;
        }
    }
    println!("{begun} requests from seed {first} on");
    assert!(begun > 1000, "{begun}");
}
