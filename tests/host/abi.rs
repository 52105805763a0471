//! What crosses the border between host and filter: statuses, traps, guest
//! memory and the wire form of header maps.

/// How a host call ends: all that the ABI knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    ParseFailure = 4,
    BadExpression = 5,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    ResultMismatch = 9,
    InternalFailure = 10,
    BrokenConnection = 11,
    Unimplemented = 12,
}

impl Status {
    /// Every way to fail.
    pub const FAILURES: [Self; 12] = [
        Self::NotFound,
        Self::BadArgument,
        Self::SerializationFailure,
        Self::ParseFailure,
        Self::BadExpression,
        Self::InvalidMemoryAccess,
        Self::Empty,
        Self::CasMismatch,
        Self::ResultMismatch,
        Self::InternalFailure,
        Self::BrokenConnection,
        Self::Unimplemented,
    ];
}

/// The filter was stopped by the host, or stopped itself (a panic).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap(pub String);

impl Trap {
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// What a host function gives back: a status the filter sees, or a trap it never does.
pub type Answer = Result<Status, Trap>;

/// The filter's memory, wherever it runs.
///
/// One implementation reads this process (native), the other a module's linear
/// memory; the host functions are written once, against this.
pub trait Guest {
    fn read(&mut self, at: u64, len: u64) -> Result<Vec<u8>, Trap>;
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Trap>;
    /// Asks the filter for memory that the filter will own and free.
    fn allocate(&mut self, len: usize) -> Result<u64, Trap>;
    /// How many bytes a pointer has: 4 in a module, 8 natively.
    fn pointer_width(&self) -> usize;

    fn write_pointer(&mut self, at: u64, value: u64) -> Result<(), Trap> {
        let width = self.pointer_width();
        self.write(at, &value.to_le_bytes()[..width])
    }

    fn write_u32(&mut self, at: u64, value: u32) -> Result<(), Trap> {
        self.write(at, &value.to_le_bytes())
    }

    /// Reads text that the filter names something with.
    fn text(&mut self, at: u64, len: u64) -> Result<String, Trap> {
        Ok(String::from_utf8_lossy(&self.read(at, len)?).into_owned())
    }

    /// Hands `bytes` over: allocates in the guest, stores address and length.
    fn give(&mut self, bytes: &[u8], address_at: u64, len_at: u64) -> Result<(), Trap> {
        let address = self.allocate(bytes.len())?;
        self.write(address, bytes)?;
        self.write_pointer(address_at, address)?;
        self.write_pointer(len_at, bytes.len() as u64)
    }

    /// Says "nothing here" the way Envoy does: a null address and length 0.
    fn give_null(&mut self, address_at: u64, len_at: u64) -> Result<(), Trap> {
        self.write_pointer(address_at, 0)?;
        self.write_pointer(len_at, 0)
    }
}

/// Header names are ASCII on every host; values are any bytes.
pub type Pairs = Vec<(String, Vec<u8>)>;

/// count, then every (name length, value length), then `name NUL value NUL` each.
pub fn encode_map(pairs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend(name.as_bytes());
        out.push(0);
        out.extend(value);
        out.push(0);
    }
    out
}

/// The inverse of [`encode_map`]; `None` when the filter's bytes don't add up.
pub fn decode_map(bytes: &[u8]) -> Option<Pairs> {
    if bytes.is_empty() {
        return Some(Pairs::new());
    }
    let word = |at: usize| -> Option<usize> {
        let word = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(word) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Pairs::new();
    for n in 0..count {
        let (name_len, value_len) = (word(4 + n * 8)?, word(8 + n * 8)?);
        let name = bytes.get(at..at + name_len)?;
        at += name_len + 1;
        let value = bytes.get(at..at + value_len)?.to_vec();
        at += value_len + 1;
        pairs.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    Some(pairs)
}
