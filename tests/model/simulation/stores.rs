//! Shared data as hosts have it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use gatepass::shared_data::SharedStore;

/// How a host's shared data behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every write is seen at once.
    Quiet,
    /// Other workers write in the same moment: one write in four comes too late,
    /// as on a host on which a write without a version only creates.
    Contended,
    /// Keys that have the same CRC32 share a value, of which there are few.
    Colliding,
}

#[derive(Clone, Debug)]
pub struct Store(Rc<RefCell<Shared>>);

#[derive(Debug)]
struct Shared {
    kind: Kind,
    values: HashMap<String, (Vec<u8>, u32)>,
    writes: u32,
}

impl Store {
    pub fn new(kind: Kind) -> Self {
        Self(Rc::new(RefCell::new(Shared { kind, values: HashMap::new(), writes: 0 })))
    }
}

impl Shared {
    fn place(&self, key: &str) -> String {
        match self.kind {
            Kind::Colliding => (crc32(key.as_bytes()) % 5).to_string(),
            _ => key.to_owned(),
        }
    }
}

impl SharedStore for Store {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let shared = self.0.borrow();
        shared.values.get(&shared.place(key)).cloned()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let mut shared = self.0.borrow_mut();
        let place = shared.place(key);
        let current = shared.values.get(&place).map(|(_, version)| *version);
        shared.writes += 1;
        let is_late =
            shared.kind == Kind::Contended && current.is_some() && shared.writes.is_multiple_of(4);
        if is_late {
            // What another worker wrote is the same, but a version later.
            shared.values.entry(place).and_modify(|(_, version)| *version += 1);
            return false;
        }
        if version.is_some_and(|version| Some(version) != current) {
            return false;
        }
        shared.values.insert(place, (value.to_vec(), current.unwrap_or(0) + 1));
        true
    }

    /// A few entries of a list, so that they are moved often.
    fn cheap_bytes(&self) -> usize {
        200
    }
}

/// As zlib has it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize];
    !bytes.iter().fold(!0, step)
}

/// What each byte makes of it.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[test]
fn two_words_with_one_checksum() {
    assert_eq!(crc32(b"plumless"), crc32(b"buckeroo"));
}
