//! HTTP/2 as frames: what no library would write has to be written too.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// No frame has this type.
const UNKNOWN: u8 = 0x5A;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

/// The largest payload that everybody takes.
const LARGEST: usize = 16_384;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A field, and how HPACK writes it.
#[derive(Clone, PartialEq)]
pub struct Field {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
    pub coding: Coding,
}

/// All are literals, so that no stream depends on another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coding {
    Plain,
    NeverIndexed,
    /// Added to the table, from which nobody takes it.
    Indexed,
    /// The name by the static table, where it has it.
    StaticName,
}

impl Field {
    pub fn new(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref().to_vec(), value.as_ref().to_vec());
        Self { name, value, coding: Coding::Plain }
    }

    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    pub fn encode(&self, block: &mut Vec<u8>) {
        const NAMES: [(u8, &str); 8] = [
            (1, ":authority"),
            (2, ":method"),
            (4, ":path"),
            (6, ":scheme"),
            (23, "authorization"),
            (28, "content-length"),
            (32, "cookie"),
            (38, "host"),
        ];
        let known = NAMES.iter().find(|(_, name)| name.as_bytes() == self.name);
        match (self.coding, known) {
            (Coding::StaticName, Some((index @ ..15, _))) => block.push(*index),
            (Coding::StaticName, Some((index, _))) => block.extend([15, index - 15]),
            (coding, _) => {
                block.push(match coding {
                    Coding::Plain | Coding::StaticName => 0,
                    Coding::NeverIndexed => 0x10,
                    Coding::Indexed => 0x40,
                });
                encode_text(&self.name, block);
            }
        }
        encode_text(&self.value, block);
    }
}

/// RFC 7541 section 5.2, without Huffman's code.
fn encode_text(text: &[u8], block: &mut Vec<u8>) {
    if text.len() < 127 {
        block.push(u8::try_from(text.len()).unwrap());
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 0x80);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(text);
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = (self.name.escape_ascii(), self.value.escape_ascii());
        write!(f, "{name}: {value}")?;
        if self.coding == Coding::Plain { Ok(()) } else { write!(f, " ({:?})", self.coding) }
    }
}

/// How the frames of a request differ from the fewest that could be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Oddity {
    /// The header block goes on in a CONTINUATION after this byte.
    Split(usize),
    Padded(u8),
    /// More padding than the frame has bytes.
    PaddedTooFar,
    Priority,
    /// A frame of no meaning to the stream before its data.
    Between(u8),
    /// A frame within the header block.
    InBlock(u8),
    /// RST_STREAM after this many frames; whatever follows is sent too.
    Reset(usize),
    /// Its end does not come; it is reset instead.
    Unfinished,
    /// The header block once more, with no end.
    Again,
    /// The end by an empty DATA frame.
    EmptyEnd,
    TableSize,
    /// DATA after the end.
    Beyond,
    /// The last byte of the header block is missing.
    Truncated,
}

impl Oddity {
    /// Whether it breaks the connection's rules and not the stream's alone.
    pub const fn ends_connection(self) -> bool {
        matches!(self, Self::PaddedTooFar | Self::InBlock(_) | Self::Truncated)
    }

    /// Whether it may, by what the request has beside it.
    pub const fn may_end_connection(self) -> bool {
        self.ends_connection() || matches!(self, Self::Again | Self::Beyond)
    }
}

/// A request, as it is written.
#[derive(Clone)]
pub struct Case {
    pub fields: Vec<Field>,
    pub data: Vec<Vec<u8>>,
    pub trailers: Vec<Field>,
    pub oddities: Vec<Oddity>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in &self.fields {
            writeln!(f, "{field:?}")?;
        }
        for piece in &self.data {
            writeln!(f, "data: {}", piece.escape_ascii())?;
        }
        for field in &self.trailers {
            writeln!(f, "trailer: {field:?}")?;
        }
        self.oddities.iter().try_for_each(|oddity| writeln!(f, "frames: {oddity:?}"))
    }
}

/// Frames that nothing may come between.
type Unit = Vec<u8>;

impl Case {
    pub fn has(&self, oddity: Oddity) -> bool {
        self.oddities.contains(&oddity)
    }

    /// How many frames are sent before it is reset, if it is.
    pub fn reset(&self) -> Option<usize> {
        self.oddities.iter().find_map(|oddity| match oddity {
            Oddity::Reset(after) => Some(*after),
            _ => None,
        })
    }

    /// Whether the first header block is all of it.
    pub fn ends_at_head(&self) -> bool {
        self.data.is_empty() && self.trailers.is_empty() && !self.ends_later()
    }

    fn ends_later(&self) -> bool {
        self.has(Oddity::EmptyEnd) || self.has(Oddity::Unfinished)
    }

    fn units(&self, stream: u32) -> Vec<Unit> {
        let ends_later = self.ends_later();
        let end_at = |is_last: bool| if is_last && !ends_later { END_STREAM } else { 0 };
        let (has_data, has_trailers) = (!self.data.is_empty(), !self.trailers.is_empty());
        let mut units = vec![self.block(stream, &self.fields, end_at(!has_data && !has_trailers))];
        if self.has(Oddity::Again) {
            units.push(self.block(stream, &self.fields, 0));
        }
        for oddity in &self.oddities {
            if let Oddity::Between(kind) = oddity {
                units.push(neutral(*kind, stream));
            }
        }
        for (at, piece) in self.data.iter().enumerate() {
            let is_last = at + 1 == self.data.len() && !has_trailers;
            let (flags, payload) = self.padded(piece.clone());
            units.push(frame(DATA, flags | end_at(is_last), stream, &payload));
        }
        if has_trailers {
            units.push(self.block(stream, &self.trailers, end_at(true)));
        }
        if self.has(Oddity::EmptyEnd) && !self.has(Oddity::Unfinished) {
            units.push(frame(DATA, END_STREAM, stream, &[]));
        }
        if self.has(Oddity::Beyond) {
            units.push(frame(DATA, 0, stream, b"beyond"));
        }
        let reset = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        if let Some(after) = self.reset() {
            units.insert(1 + after % units.len(), reset.clone());
        } else if self.has(Oddity::Unfinished) {
            units.push(reset);
        }
        units
    }

    fn padded(&self, mut payload: Vec<u8>) -> (u8, Vec<u8>) {
        let padding = self.oddities.iter().find_map(|oddity| match oddity {
            Oddity::Padded(length) => Some(*length),
            _ => None,
        });
        let Some(padding) = padding else { return (0, payload) };
        payload.insert(0, padding);
        payload.extend(vec![0; usize::from(padding)]);
        (PADDED, payload)
    }

    /// A header block in as many frames as it takes.
    fn block(&self, stream: u32, fields: &[Field], flags: u8) -> Unit {
        let mut block = Vec::new();
        if self.has(Oddity::TableSize) {
            block.push(0x20);
        }
        fields.iter().for_each(|field| field.encode(&mut block));
        if self.has(Oddity::Truncated) {
            block.pop();
        }
        let mut cuts: Vec<usize> = (0..block.len()).step_by(LARGEST - 300).skip(1).collect();
        cuts.extend(self.oddities.iter().filter_map(|oddity| match oddity {
            Oddity::Split(at) => Some(at % (block.len() + 1)),
            _ => None,
        }));
        if self.oddities.iter().any(|oddity| matches!(oddity, Oddity::InBlock(_))) {
            cuts.push(block.len() / 2);
        }
        cuts.push(block.len());
        cuts.sort_unstable();
        let mut unit = Vec::new();
        let mut from = 0;
        for (at, cut) in cuts.iter().enumerate() {
            let mut payload = block[from..*cut].to_vec();
            from = *cut;
            let last = if at + 1 == cuts.len() { END_HEADERS } else { 0 };
            if at > 0 {
                unit.extend(frame(CONTINUATION, last, stream, &payload));
                continue;
            }
            let mut own = flags | last;
            if self.has(Oddity::Priority) {
                payload.splice(0..0, [0, 0, 0, 0, 16]);
                own |= WITH_PRIORITY;
            }
            if self.has(Oddity::PaddedTooFar) {
                payload = vec![255, 1, 2];
                own |= PADDED;
            } else {
                let (padding, padded) = self.padded(payload);
                payload = padded;
                own |= padding;
            }
            unit.extend(frame(HEADERS, own, stream, &payload));
            for oddity in &self.oddities {
                if let Oddity::InBlock(kind) = oddity {
                    unit.extend(neutral(*kind, stream));
                }
            }
        }
        unit
    }
}

/// A frame that says nothing of the request.
fn neutral(kind: u8, stream: u32) -> Vec<u8> {
    match kind % 5 {
        0 => frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
        1 => frame(PING, 0, 0, b"12345678"),
        2 => frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes()),
        3 => frame(UNKNOWN, 0xFF, stream, b"GET /admin HTTP/1.1\r\n\r\n"),
        _ => frame(SETTINGS, 0, 0, &[]),
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Answered,
    Reset,
    /// Its connection ended, or nothing came.
    Lost,
}

/// A connection with any number of streams.
pub struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    next: u32,
}

impl Client {
    pub fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let window = [&[0, 4], &(1_u32 << 30).to_be_bytes()[..]].concat();
        let opening = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &window),
            frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()),
        ];
        stream.write_all(&opening.concat()).unwrap();
        Self { stream, received: Vec::new(), next: 1 }
    }

    /// Sends them beside each other, frame by frame, and waits for what becomes of each. An
    /// error if the connection ends.
    pub fn send(&mut self, cases: &[&Case]) -> Result<Vec<End>, Vec<End>> {
        let first = self.next;
        let stream = |at: usize| first + 2 * u32::try_from(at).unwrap();
        self.next = stream(cases.len());
        let mut units: Vec<_> =
            cases.iter().enumerate().map(|(at, case)| case.units(stream(at)).into_iter()).collect();
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            for units in &mut units {
                bytes.extend(units.next().unwrap_or_default());
            }
            if bytes.len() == before {
                break;
            }
        }
        let mut ends: Vec<_> = cases
            .iter()
            .map(|case| {
                (case.reset().is_some() || case.has(Oddity::Unfinished)).then_some(End::Reset)
            })
            .collect();
        let mut writer = self.stream.try_clone().unwrap();
        let is_open = std::thread::scope(|scope| {
            // Envoy may answer, and hang up, before it has read everything.
            scope.spawn(move || writer.write_all(&bytes));
            self.read_ends(first, &mut ends)
        });
        let ends = ends.into_iter().map(|end| end.unwrap_or(End::Lost)).collect();
        if is_open { Ok(ends) } else { Err(ends) }
    }

    /// Whether the connection is still good.
    fn read_ends(&mut self, first: u32, ends: &mut [Option<End>]) -> bool {
        let give_up = Instant::now() + PATIENCE;
        while ends.contains(&None) {
            while let Some((kind, flags, stream, payload)) = self.next_frame() {
                let end = match kind {
                    GOAWAY => return false,
                    SETTINGS | PING if flags & ACK == 0 => {
                        let echo = if kind == PING { &payload[..] } else { &[] };
                        let _ = self.stream.write_all(&frame(kind, ACK, 0, echo));
                        continue;
                    }
                    RST_STREAM => End::Reset,
                    HEADERS | DATA if flags & END_STREAM != 0 => End::Answered,
                    _ => continue,
                };
                let at = usize::try_from(stream.saturating_sub(first) / 2).unwrap();
                if let Some(slot) = ends.get_mut(at).filter(|_| stream >= first) {
                    slot.get_or_insert(end);
                }
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(read @ 1..) => self.received.extend(&buffer[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
                    ) =>
                {
                    if Instant::now() > give_up {
                        return false;
                    }
                }
                _ => return ends.iter().all(Option::is_some),
            }
        }
        true
    }

    fn next_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let [a, b, c, kind, flags, stream @ ..] = *self.received.first_chunk::<9>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap();
        let payload = self.received.get(9..9 + length)?.to_vec();
        self.received.drain(..9 + length);
        Some((kind, flags, u32::from_be_bytes(stream), payload))
    }
}
