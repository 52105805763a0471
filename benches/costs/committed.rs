//! The committed numbers, and how a new one is compared with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::shop::Kind;

/// `costs.json`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Committed {
    /// What counted the instructions: with another compiler or another C library they are
    /// not the same.
    pub counted_with: Vec<String>,
    /// What each token that is remembered takes.
    #[serde(default)]
    pub known_token: Memory,
    /// By the name of the kind, for one request.
    pub requests: BTreeMap<String, Costs>,
}

/// Of one token: of 64-bit processors, without what the allocator adds to each block.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub bytes: usize,
    pub blocks: usize,
}

/// Of one request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Costs {
    /// Blocks of memory that were asked for, with those that had to grow.
    pub allocations: u64,
    /// Fuel of the built module in the interpreter of the tests, on an Envoy, from its
    /// context to the end of that; 0 if it is not measured.
    #[serde(default)]
    pub fuel: u64,
    /// Instructions without cryptography.
    pub instructions: u64,
}

/// Set to write the file anew instead of comparing with it.
pub const WRITE: &str = "GATEPASS_WRITE_COSTS";

impl Committed {
    fn file() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/costs/costs.json")
    }

    pub fn read() -> Self {
        let text = std::fs::read(Self::file()).expect("benches/costs/costs.json");
        serde_json::from_slice(&text).expect("benches/costs/costs.json is read")
    }

    pub fn of(&self, kind: Kind) -> Costs {
        self.requests.get(kind.name()).copied().unwrap_or_default()
    }

    pub fn set(&mut self, kind: Kind, change: impl FnOnce(&mut Costs)) {
        change(self.requests.entry(kind.name().to_owned()).or_default());
    }

    pub fn write(&self) {
        let text = serde_json::to_string_pretty(self).expect("numbers are written") + "\n";
        std::fs::write(Self::file(), text).expect("benches/costs/costs.json is written");
    }
}

/// What `costs.json` says if a number of it is another one: to be said in the commit.
pub fn differs(
    kind: Kind,
    what: &str,
    committed: u64,
    found: u64,
    tolerance: f64,
) -> Option<String> {
    #[allow(clippy::cast_precision_loss, reason = "none is that large")]
    let (old, new) = (committed as f64, found as f64);
    ((new - old).abs() > old * tolerance).then(|| {
        format!(
            "{}: {found} {what}, {committed} are committed. If that is meant, say so in the \
             commit: `make costs WRITE=1` writes benches/costs/costs.json",
            kind.name()
        )
    })
}

/// The compiler and the C library here.
pub fn counted_with() -> Vec<String> {
    let first_line = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
    };
    ["rustc", "ldd"].map(first_line).into()
}
