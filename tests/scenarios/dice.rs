//! Chances: out of a seed, or out of bytes that a fuzzer chooses.

/// Throws.
pub struct Dice {
    seed: u64,
    bytes: Option<Vec<u8>>,
}

impl Dice {
    /// The same throws for the same seed.
    pub fn of(seed: u64) -> Self {
        Self { seed: seed | 1, bytes: None }
    }

    /// What the bytes say, one after the other; 0 when none is left.
    pub fn fed(bytes: &[u8]) -> Self {
        let bytes = bytes.iter().rev().copied().collect();
        Self { seed: 1, bytes: Some(bytes) }
    }

    /// Whether nothing is left to be thrown.
    pub fn is_over(&self) -> bool {
        self.bytes.as_ref().is_some_and(Vec::is_empty)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        if let Some(bytes) = &mut self.bytes {
            let mut next = || usize::from(bytes.pop().unwrap_or_default());
            let (low, high) = (next(), if sides > 256 { next() } else { 0 });
            return (low + 256 * high) % sides;
        }
        // xorshift64*
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % sides
    }

    pub fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.roll(items.len())].clone()
    }

    /// Takes one out.
    pub fn draw<T>(&mut self, items: &mut Vec<T>) -> Option<T> {
        (!items.is_empty()).then(|| items.swap_remove(self.roll(items.len())))
    }
}

/// What is kept of a fuzz target, in `tests/fuzz/corpus`.
#[allow(clippy::disallowed_methods, reason = "a test may read files")]
pub fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_WORKSPACE_DIR"), "/tests/fuzz/corpus");
    let directory = std::path::Path::new(directory).join(target);
    let files = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has seeds");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}
