//! The ways in which services encode texts in cookies and pages, decoded.

use crate::http::percent_decode;

/// Texts that are shorter are not searched for, so they are not decoded.
pub(super) const SHORTEST: usize = 16;

/// An alphabet in which each character encodes some bits (RFC 4648).
pub(super) struct Alphabet<const BITS: usize> {
    /// The characters after which bytes align again.
    group: usize,
    /// The value of each character, or [`NONE`].
    values: [u8; 256],
}

const NONE: u8 = 0xFF;

/// Either alphabet of base64, mixed too (RFC 4648 sections 4 and 5). Its characters
/// include those of the others.
pub(super) const BASE64: Alphabet<6> = Alphabet::new(4, &[b"AZ", b"az", b"09"], b"+-/_");

/// In either case (RFC 4648 section 6).
pub(super) const BASE32: Alphabet<5> = Alphabet::new(8, &[b"AZ", b"27"], b"").in_either_case();

/// In either case (RFC 4648 section 8).
pub(super) const HEX: Alphabet<4> = Alphabet::new(2, &[b"09", b"AF"], b"").in_either_case();

#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)] // in constants
impl<const BITS: usize> Alphabet<BITS> {
    /// The characters in order: of some ranges, and then pairs of the same value.
    const fn new(group: usize, ranges: &[&[u8; 2]], pairs: &[u8]) -> Self {
        let mut values = [NONE; 256];
        let (mut value, mut at) = (0, 0);
        while at < ranges.len() {
            let [mut byte, end] = *ranges[at];
            while byte <= end {
                values[byte as usize] = value;
                value += 1;
                byte += 1;
            }
            at += 1;
        }
        at = 0;
        while at < pairs.len() {
            values[pairs[at] as usize] = value + (at / 2) as u8;
            at += 1;
        }
        Self { group, values }
    }

    const fn in_either_case(mut self) -> Self {
        let mut byte = b'A';
        while byte <= b'Z' {
            self.values[byte.to_ascii_lowercase() as usize] = self.values[byte as usize];
            byte += 1;
        }
        self
    }
}

impl<const BITS: usize> Alphabet<BITS> {
    /// The runs of this alphabet that are long enough to encode a text.
    pub(super) fn runs<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let runs = text.split(|byte| self.value(*byte) == NONE);
        runs.filter(|run| run.len().wrapping_mul(BITS) / 8 >= SHORTEST)
    }

    /// The values of a run's characters.
    pub(super) fn values(&self, run: &[u8]) -> Vec<u8> {
        run.iter().map(|byte| self.value(*byte)).collect()
    }

    /// What these values encode, from each position at which a byte may begin: the
    /// characters before a text may belong to its alphabet.
    pub(super) fn decoded<'a>(&self, values: &'a [u8]) -> impl Iterator<Item = Decoded<'a, BITS>> {
        (0..self.group).filter_map(|start| values.get(start..)).map(Decoded)
    }

    fn value(&self, byte: u8) -> u8 {
        self.values.get(usize::from(byte)).copied().unwrap_or(NONE)
    }
}

/// What the values of a run encode; most of it is never looked at.
///
/// Lenient: the padding may be missing, and the unused bits may be anything.
pub(super) struct Decoded<'a, const BITS: usize>(pub(super) &'a [u8]);

impl<const BITS: usize> Decoded<'_, BITS> {
    fn len(&self) -> usize {
        self.0.len().wrapping_mul(BITS) / 8
    }

    #[inline]
    #[allow(clippy::arithmetic_side_effects)] // BITS is 4, 5 or 6
    fn byte(&self, at: usize) -> u8 {
        let bit = at.wrapping_mul(8);
        let value = |place: usize| {
            let value = self.0.get((bit / BITS).wrapping_add(place));
            u32::from(value.copied().unwrap_or_default())
        };
        // Three characters have all bits of a byte, wherever in the first it begins.
        let held = value(0) << (2 * BITS) | value(1) << BITS | value(2);
        let behind = (3 * BITS).wrapping_sub(8).wrapping_sub(bit % BITS);
        (held >> behind) as u8
    }

    /// Its first bytes.
    pub(super) fn start<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        std::array::from_fn(|at| if at < self.len() { self.byte(at) } else { 0 })
    }

    /// The first word at or after `from` that is long enough, as positions, and how many
    /// bytes were looked at. One of 16 tells whether there may be one, so data that are no
    /// text cost little.
    pub(super) fn word(&self, from: usize) -> (Option<(usize, usize)>, usize) {
        let fits = |at: usize| is_of_word(self.byte(at));
        let (mut floor, mut looked) = (from, 0_usize);
        loop {
            let at = floor.wrapping_add(SHORTEST - 1);
            if at >= self.len() {
                return (None, looked);
            }
            floor = at.wrapping_add(1);
            if !fits(at) {
                continue;
            }
            let least = floor.wrapping_sub(SHORTEST);
            let start = (least..at).rev().find(|before| !fits(*before));
            let start = start.map_or(least, |before| before.wrapping_add(1));
            let end = (floor..self.len()).find(|behind| !fits(*behind)).unwrap_or(self.len());
            let length = end.wrapping_sub(start);
            looked = looked.wrapping_add(length);
            if length >= SHORTEST {
                return (Some((start, end)), looked);
            }
            floor = end.wrapping_add(1);
        }
    }

    pub(super) fn bytes(&self, start: usize, end: usize) -> Vec<u8> {
        (start..end).map(|at| self.byte(at)).collect()
    }
}

/// What is searched for has no space in it, encoded or not. Zeros belong to UTF-16.
pub(super) const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == 0
}

/// Whether a byte may be one of an encoded token: its characters, or those of escapes.
pub(super) const fn is_of_escaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
        || matches!(byte, b'%' | b'\\' | b'&' | b'#' | b';' | 0)
}

/// Decodes HTML entities for characters of tokens: `&#46;`, `&#x2e;` and named ones.
pub(super) fn without_entities(text: &[u8]) -> Vec<u8> {
    const NAMES: [(&[u8], u8); 8] = [
        (b"amp", b'&'),
        (b"equals", b'='),
        (b"lowbar", b'_'),
        (b"UnderBar", b'_'),
        (b"period", b'.'),
        (b"plus", b'+'),
        (b"quot", b'"'),
        (b"sol", b'/'),
    ];
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let entity = (*byte == b'&').then(|| {
            let (digits, radix) = match after {
                [b'#', b'x' | b'X', digits @ ..] => (digits, 16),
                [b'#', digits @ ..] => (digits, 10),
                name => {
                    let known = NAMES.iter().find(|(known, _)| name.starts_with(known));
                    return known
                        .and_then(|(known, stands)| Some((*stands, name.get(known.len()..)?)));
                }
            };
            let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
            let end = digits.iter().position(|byte| !is_digit(byte)).unwrap_or(digits.len());
            let (digits, behind) = digits.split_at_checked(end)?;
            let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()?;
            Some((u8::try_from(code).ok()?, behind))
        });
        (rest, _) = match entity.flatten() {
            Some((stands, behind)) => {
                (behind.strip_prefix(b";").unwrap_or(behind), plain.push(stands))
            }
            None => (after, plain.push(*byte)),
        };
    }
    plain
}

/// Decodes `\/`, `\u002e` and `\x2e`, as in JSON and scripts.
pub(super) fn without_escapes(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        let (read, behind) = match rest {
            [b'\\', b'u', b'0', b'0', high, low, behind @ ..]
            | [b'\\', b'x', high, low, behind @ ..] => {
                let escape = [b'%', *high, *low];
                (percent_decode(&escape).first().copied().unwrap_or(*byte), behind)
            }
            [b'\\', escaped, behind @ ..] => (*escaped, behind),
            _ => (*byte, after),
        };
        plain.push(read);
        rest = behind;
    }
    plain
}
