//! Host calls that fail: all of a function, the k-th of all, or some at random.

use super::abi::Status;

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does nothing, and says so.
    Fails(Status),
    /// It says that all is well, and gives nothing.
    Empty,
    /// It gives a byte less than there is, where the host has said how much there
    /// is: of a buffer and a map.
    Short,
}

impl Fault {
    /// Every way to go wrong.
    pub fn all() -> Vec<Self> {
        let failures = Status::FAILURES.map(Self::Fails);
        failures.into_iter().chain([Self::Empty, Self::Short]).collect()
    }
}

/// Which calls go wrong.
#[derive(Debug, Default)]
enum Which {
    #[default]
    None,
    /// Every call of these functions.
    Of(Vec<(String, Fault)>),
    /// The call of this number, and its fault.
    Nth(usize, Fault),
    /// Of so many calls one, by a random source.
    Random { seed: u64, one_in: u64 },
    /// What the bytes say, the last one first; none when they are used up.
    Fed(Vec<u8>),
}

/// Which calls go wrong, and what became of it.
#[derive(Debug, Default)]
pub struct Faults {
    which: Which,
    counted: usize,
    hit: Vec<String>,
}

impl Faults {
    /// The call of this number, counted from 0.
    pub fn nth(number: usize, fault: Fault) -> Self {
        Self { which: Which::Nth(number, fault), ..Self::default() }
    }

    /// One in `one_in` calls, and a random way.
    pub fn random(seed: u64, one_in: u64) -> Self {
        Self { which: Which::Random { seed: seed | 1, one_in }, ..Self::default() }
    }

    /// Each call as a byte of a fuzzer has it.
    pub fn fed(bytes: &[u8]) -> Self {
        let bytes = bytes.iter().rev().copied().collect();
        Self { which: Which::Fed(bytes), ..Self::default() }
    }

    pub fn refuse(&mut self, function: &str, status: Status) {
        let refused = (function.to_owned(), Fault::Fails(status));
        match &mut self.which {
            Which::Of(functions) => functions.push(refused),
            which => *which = Which::Of(vec![refused]),
        }
    }

    pub fn counted(&self) -> usize {
        self.counted
    }

    pub fn hit(&self) -> &[String] {
        &self.hit
    }

    /// What becomes of the next call.
    pub fn next(&mut self, function: &str) -> Option<Fault> {
        let number = self.counted;
        self.counted += 1;
        let fault = match &mut self.which {
            Which::None => None,
            Which::Of(functions) => {
                functions.iter().find(|(name, _)| name == function).map(|(_, fault)| *fault)
            }
            Which::Nth(nth, fault) => (*nth == number).then_some(*fault),
            Which::Random { seed, one_in } => {
                // xorshift
                *seed ^= *seed << 13;
                *seed ^= *seed >> 7;
                *seed ^= *seed << 17;
                let faults = Fault::all();
                let fault = faults[(*seed >> 40) as usize % faults.len()];
                (*seed >> 8).is_multiple_of(*one_in).then_some(fault)
            }
            // Most bytes are none.
            Which::Fed(bytes) => {
                bytes.pop().and_then(|byte| Fault::all().get(usize::from(byte)).copied())
            }
        };
        if let Some(fault) = fault {
            self.hit.push(format!("{function} (call {number}): {fault:?}"));
        }
        fault
    }
}
