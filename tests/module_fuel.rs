//! What a request takes in the built module, as fuel of the interpreter: the same on every
//! machine. It counts what the native cost of the core does not: the filter around it, and
//! 32 bits.
//!
//! Fuel is no time. It shows that something changed, and where.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    dead_code,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "a test may fail"
)]

mod aws_lc;
#[path = "../benches/costs/committed.rs"]
mod committed;
mod foreign;
mod growth;
mod host;
#[path = "../benches/costs/shop.rs"]
mod shop;
#[path = "../benches/gateways/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::process::Command;

use committed::{Committed, WRITE, counted_with, differs};
use gatepass_wasm as _;
use host::{Engine, Filter, Head, Host, Profile, Reply};
use shop::{FIELDS, Kind};
use tokens::Signer;

extern "C" fn initialize() {
    panic!("only the built module runs here")
}

const FILTER: Filter = Filter {
    initialize,
    in_progress: || 0,
    module: host::built_module,
    configuration: |_| panic!("it is configured"),
    clusters: &["users"],
};

/// Signatures of ECDSA are not all of one length in DER, which is a few hundred of it.
const TOLERANCE: f64 = 0.01;

/// An Envoy with the module, and the issuers of its tokens.
struct World {
    host: Host,
    signers: [Signer; 2],
    number: u64,
}

impl World {
    fn new() -> Self {
        let host = Host::new(FILTER, Engine::Metered, Profile::Envoy);
        host.with_foreign(foreign::envoy);
        let signers = ["RS256", "ES256"].map(Signer::new);
        assert!(host.configure(shop::configuration(&signers)), "{:#?}", host.logs());
        Self { host, signers, number: 0 }
    }

    fn token(&mut self, kind: Kind) -> String {
        self.number += 1;
        let signer = &self.signers[usize::from(kind == Kind::NewEs256)];
        let now = i64::try_from(self.host.now()).unwrap();
        let mut token = signer.sign_claims("at+jwt", &shop::claims(kind, self.number, now));
        if kind == Kind::Denied {
            shop::forge(&mut token);
        }
        token
    }

    /// What a request with a token takes, by export.
    fn fuel(&self, kind: Kind, token: &str) -> BTreeMap<&'static str, u64> {
        let bearer = format!("Bearer {token}");
        let fields = FIELDS.into_iter().chain([("authorization", bearer.as_str())]);
        let head = fields.fold(Head::get("/"), |head, (name, value)| head.header(name, value));
        let _ = self.host.take_fuel();
        let request = self.host.send(head);
        if request.is_paused() {
            let user = shop::user(&shop::subject(kind, self.number));
            request.answer(Reply::ok(user.to_string()));
        }
        assert_eq!(request.is_forwarded(), kind != Kind::Denied, "{:?}", request.outcome());
        request.finish();
        self.host.take_fuel()
    }
}

/// The fuel of most requests of a kind, by export.
fn measured(world: &mut World, kind: Kind) -> BTreeMap<&'static str, u64> {
    let known = world.token(Kind::Known);
    let _ = world.fuel(Kind::Known, &known);
    let mut all: Vec<_> = (0..33)
        .map(|_| {
            let token = if kind == Kind::Known { known.clone() } else { world.token(kind) };
            world.fuel(kind, &token)
        })
        .collect();
    all.sort_unstable_by_key(|by_export| by_export.values().sum::<u64>());
    all.swap_remove(all.len() / 2)
}

/// Whether the compiler that is asked for its version built the module: `.ci/build-wasm`
/// takes another one where this has no target for it.
fn builds_modules() -> bool {
    let print = ["--print", "target-libdir", "--target", "wasm32-wasip1"];
    let output = Command::new("rustc").args(print).output().ok();
    let path = output.and_then(|output| String::from_utf8(output.stdout).ok());
    path.is_some_and(|path| std::fs::read_dir(path.trim()).is_ok())
}

#[test]
fn a_request_takes_as_much_fuel_as_is_committed() {
    let (mut world, mut committed) = (World::new(), Committed::read());
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let by_export = measured(&mut world, kind);
        let (old, new) = (committed.of(kind).fuel, by_export.values().sum());
        println!("{old:>9} {new:>9} {:<16} {by_export:?}", kind.name());
        found.extend(differs(kind, "fuel", old, new, TOLERANCE));
        committed.set(kind, |costs| costs.fuel = new);
    }
    if std::env::var_os(WRITE).is_some() {
        return committed.write();
    }
    let is_same = committed.counted_with.first() == counted_with().first() && builds_modules();
    assert!(!is_same || found.is_empty(), "{}", found.join("\n"));
}
