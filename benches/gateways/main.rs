//! Gatepass beside what else does the job, on a real Envoy: `make bench`.
//!
//! All targets are measured in one run, in short slices by turns, and compared
//! with a baseline that runs between them, because a machine's speed drifts:
//! ratios hold where absolute numbers don't. The gateway has one CPU and one
//! worker; the client and the services have another CPU and one thread.
//!
//! `QUICK=1` shows in two minutes that everything works. Results go to
//! `benches/`, or with `QUICK` to `target/`. Needs `make wasm`, `make native`, an Envoy in
//! `$ENVOY`, and for the rows about nginx one with LuaJIT in `$NGINX`.
//!
//! For whoever works on the filter: `ONLY=requests` (or `nginx`, `cryptography`, `memory`,
//! `growth`) leaves out the rest, `ONLY=fleet` measures several proxies and
//! `ONLY=dearest` looks for the dearest request that a client can make, which the
//! rest does not, `ONLY=revocations` measures what a revocation costs on a long list, and
//! `ONLY=requests COMPARE=other.wasm` shows what two builds of the module add to a request
//! whose token was seen before.

// What fails here fails the benchmark.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    unreachable_pub,
    reason = "a benchmark may fail"
)]

mod crypto;
mod dearest;
mod envoy;
mod fleet;
mod growth;
mod load;
mod nginx;
mod peers;
mod plot;
mod process;
mod report;
mod requests;
mod revocations;
mod services;
mod stats;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use serde_json::{Map, Value, json};
use tokio::task::LocalSet;

use crate::envoy::Machine;
use crate::process::{Cpus, pin};

/// How much time is spent on being exact.
pub struct Effort {
    quick: bool,
}

impl Effort {
    /// How often targets take turns.
    pub fn rounds(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(8) } else { full }
    }

    /// How many of something are used.
    pub fn of(&self, full: u64) -> u64 {
        if self.quick { full / 8 } else { full }
    }

    /// The most tokens that caches are filled with.
    pub fn tokens(&self) -> u64 {
        if self.quick { 10_000 } else { 1_000_000 }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), run());
}

async fn run() {
    let start = Instant::now();
    let quick = env::var("QUICK").is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
    let effort = Effort { quick };
    let cpus = Cpus::of_this_machine();
    pin(&[cpus.client]);
    let root = Path::new(env!("CARGO_WORKSPACE_DIR"));
    let module = env::var_os("GATEPASS_WASM")
        .map_or_else(|| root.join("target/wasm32-wasip1/release/gatepass.wasm"), PathBuf::from);
    assert!(module.exists(), "{} is missing: run `make bench`", module.display());
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    fs::create_dir_all(&directory).expect("a directory");
    let (services, seen) = services::start().await;
    let envoy = env::var_os("ENVOY").expect("$ENVOY says which Envoy: run `make bench`").into();
    let machine = Machine { envoy, module, directory: directory.clone(), cpus, services };

    let only = env::var("ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only == name;
    let results = if quick || !only.is_empty() { directory } else { root.join("benches") };
    let mut sections = Vec::new();
    if wanted("requests") {
        sections.push(requests::run(&machine, &seen, &effort).await);
        progress(&sections, start);
    }
    if only == "nginx" {
        sections.push(requests::run_nginx(&machine, &seen, &effort).await);
        progress(&sections, start);
    }
    if wanted("cryptography") {
        sections.push(crypto::run(&machine, &effort).await);
        progress(&sections, start);
    }
    if wanted("memory") {
        sections.push(growth::memory(&machine, &effort).await);
        progress(&sections, start);
    }
    if wanted("growth") {
        let (section, curves) = growth::curves(&machine, &effort).await;
        sections.push(section);
        progress(&sections, start);
        write(&results.join("growth.svg"), &plot::curves(&curves));
    }

    // Apart from the rest: what it tells has to do with no other gateway.
    if only == "fleet" {
        sections.push(fleet::run(&machine, &effort).await);
        progress(&sections, start);
    }

    if only == "dearest" {
        sections.push(dearest::run(&machine, &effort).await);
        progress(&sections, start);
    }

    if only == "revocations" {
        sections.push(revocations::run(&machine, &effort).await);
        progress(&sections, start);
    }

    let command = if quick { "make bench QUICK=1" } else { "make bench" };
    let mut document = format!("# Benchmarks\n\n`{command}` on {}.\n", report::machine());
    for section in &sections {
        document += &format!("\n## {}\n\n{}\n", section.title, section.text.trim_end());
        if !section.bars.is_empty() {
            let title = "CPU time added to a request, microseconds of a worker";
            let is_own = |name: &str| name.starts_with("Gatepass");
            write(&results.join("requests.svg"), &plot::bars(title, &section.bars, is_own));
        }
    }
    write(&results.join("results.md"), &document);
    let data: Map<String, Value> =
        sections.iter_mut().map(|it| (it.title.to_owned(), it.data.take())).collect();
    let data = json!({"machine": report::machine(), "sections": data});
    write(&results.join("results.json"), &format!("{data:#}\n"));
    if !quick && only.is_empty() {
        let page = root.join("docs/performance.md");
        let text = fs::read_to_string(&page).expect("the page about performance");
        // A blank line between a table and what is next, or Markdown takes it for a row.
        let texts: Vec<_> =
            sections.iter().take(3).map(|section| section.text.trim_end()).collect();
        let summary = format!("On {}:\n\n{}\n", report::machine(), texts.join("\n\n"));
        if let Some(text) = report::splice(&text, "benchmark", &summary) {
            write(&page, &text);
        }
    }
    println!("{:.0} s in all; results in {}", start.elapsed().as_secs_f64(), results.display());
}

fn progress(sections: &[report::Section], start: Instant) {
    if let Some(section) = sections.last() {
        println!(
            "## {} ({:.0} s)\n\n{}",
            section.title,
            start.elapsed().as_secs_f64(),
            section.text
        );
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
