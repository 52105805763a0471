//! The interpretations of a text: as is, and decoded in the ways in which services encode
//! cookies and pages.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::http::percent_decode;

/// How often a text is decoded: base64 within JSON within base64.
const DEPTH: u8 = 3;

/// Shorter texts are not searched for, so they are not decoded.
const SHORTEST: usize = 16;

/// How many bytes of one text are decoded; a text with more cannot be checked.
const BUDGET: usize = 8 << 20;

/// Base64 in either alphabet, as lenient readers accept it: the unused bits may be
/// anything, and the padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    NO_PAD
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// True if `finds` is true for some reading of `text`, or if there are too many
/// readings to tell.
pub fn each_reading(text: &[u8], finds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    search(text, finds, DEPTH, &mut BUDGET.clone())
}

fn search(
    text: &[u8],
    finds: &mut dyn FnMut(&[u8]) -> bool,
    depth: u8,
    budget: &mut usize,
) -> bool {
    if finds(text) {
        return true;
    }
    let Some(deeper) = depth.checked_sub(1) else { return false };
    let mut descend = |decoded: &[u8]| {
        let Some(left) = budget.checked_sub(decoded.len()) else { return true };
        *budget = left;
        search(decoded, finds, deeper, budget)
    };
    if let Cow::Owned(decoded) = percent_decode(text)
        && decoded != text
        && descend(&decoded)
    {
        return true;
    }
    if text.contains(&b'\\') && descend(&without_escapes(text)) {
        return true;
    }
    if text.contains(&b'&') {
        let decoded = without_entities(text);
        if decoded != text && descend(&decoded) {
            return true;
        }
    }
    // UTF-16, as far as it is ASCII.
    if text.contains(&0) {
        let plain: Vec<_> = text.iter().copied().filter(|byte| *byte != 0).collect();
        if descend(&plain) {
            return true;
        }
    }
    let in_base64 = runs(text).any(|run| {
        // The characters before the text may belong to the same alphabet.
        (0..4).filter_map(|start| run.get(start..)).any(|run| {
            decode(run).is_some_and(|decoded| may_say_something(&decoded) && descend(&decoded))
        })
    });
    in_base64
        || [BASE32, BASE32.in_lower_case(), HEX, HEX.in_lower_case()].iter().any(|digits| {
            digits.decoded(text).any(|decoded| may_say_something(&decoded) && descend(&decoded))
        })
}

/// An alphabet in which each character encodes some bits (RFC 4648 sections 6 and 8).
#[derive(Clone, Copy)]
struct Digits {
    bits: u32,
    /// The characters in order, as two ranges.
    ranges: [(u8, u8); 2],
}

const BASE32: Digits = Digits { bits: 5, ranges: [(b'A', b'Z'), (b'2', b'7')] };
const HEX: Digits = Digits { bits: 4, ranges: [(b'0', b'9'), (b'A', b'F')] };

impl Digits {
    const fn in_lower_case(self) -> Self {
        let [(a, z), (start, end)] = self.ranges;
        let letters = (a.to_ascii_lowercase(), z.to_ascii_lowercase());
        let others = (start.to_ascii_lowercase(), end.to_ascii_lowercase());
        Self { ranges: [letters, others], ..self }
    }

    fn value(&self, byte: u8) -> Option<u32> {
        let [first, second] = self.ranges;
        let within = |(start, end): (u8, u8)| {
            let offset = u32::from(byte).checked_sub(start.into())?;
            (byte <= end).then_some(offset)
        };
        let length = |(start, end): (u8, u8)| u32::from(end.abs_diff(start)).saturating_add(1);
        within(first).or_else(|| within(second)?.checked_add(length(first)))
    }

    /// Decodes each long enough run in this alphabet, from each position at which a byte
    /// may begin.
    fn decoded<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let is_long =
            |run: &&[u8]| run.len() >= SHORTEST.saturating_mul(8).div_ceil(self.bits as usize);
        let stretches = text.split(|byte| self.value(*byte).is_none()).filter(is_long);
        // Bytes align again after two digits of four bits, or eight of five.
        let places = if self.bits == 4 { 2 } else { 8 };
        stretches.flat_map(move |run| (0..places).filter_map(|start| run.get(start..))).map(|run| {
            let (mut bytes, mut held, mut bits) = (Vec::with_capacity(run.len()), 0_u32, 0_u32);
            for value in run.iter().filter_map(|byte| self.value(*byte)) {
                held = held << self.bits | value;
                bits = bits.saturating_add(self.bits);
                if let Some(rest) = bits.checked_sub(8) {
                    bytes.push((held >> rest) as u8);
                    bits = rest;
                    held &= 0xFF;
                }
            }
            bytes
        })
    }
}

/// Decodes HTML entities for characters of tokens: `&#46;`, `&#x2e;` and named ones.
fn without_entities(text: &[u8]) -> Vec<u8> {
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
fn without_escapes(text: &[u8]) -> Vec<u8> {
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

/// Each run of the text that may be base64, in the URL-safe alphabet.
fn runs(text: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let stretches = text.split(move |byte| !is_base64(byte)).filter(|run| run.len() > SHORTEST);
    stretches.map(|run| {
        let url_safe = |byte: &u8| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        };
        run.iter().map(url_safe).collect()
    })
}

fn decode(run: &[u8]) -> Option<Vec<u8>> {
    let whole = run.len().saturating_sub(usize::from(run.len() % 4 == 1));
    LENIENT.decode(run.get(..whole)?).ok()
}

/// True if it contains a text long enough to be a token.
fn may_say_something(decoded: &[u8]) -> bool {
    decoded.split(|byte| !byte.is_ascii_graphic()).any(|word| word.len() >= SHORTEST)
}

/// True if base64 in `text` contains compressed data, which cannot be searched: gzip (RFC
/// 1952), zlib (RFC 1950) as in Flask's sessions, or Zstandard.
pub fn hides_compressed(text: &[u8]) -> bool {
    runs(&percent_decode(text)).filter_map(|run| decode(&run)).any(|bytes| {
        let is_compressed = matches!(
            bytes.as_slice(),
            [0x1F, 0x8B, 0x08, ..]
                | [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..]
                | [0x28, 0xB5, 0x2F, 0xFD, ..]
        );
        is_compressed && bytes.len() > SHORTEST
    })
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_word_is_found_however_it_is_encoded() {
        const WORD: &str = "opaque?reference>0123456789~";
        let found = |text: &str| {
            each_reading(text.as_bytes(), &mut |reading| {
                reading.windows(WORD.len()).any(|window| window == WORD.as_bytes())
            })
        };
        let json = format!(r#"{{"token":"{WORD}"}}"#);
        let once = BASE64_URL_SAFE_NO_PAD.encode(&json);
        for (case, text) in [
            ("as it is", WORD.to_owned()),
            ("percent-encoded", "opaque%3Freference%3e0123456789~".to_owned()),
            ("escaped", r"opaque\u003freference\u003E0123456789~".replace("\\\\", "\\")),
            ("UTF-16", WORD.chars().flat_map(|c| [c, '\0']).collect()),
            ("base64url", format!("session={once}.Z0xT.c2ln")),
            ("base64", format!("session={}", BASE64_STANDARD.encode(&json))),
            ("its padding escaped", BASE64_STANDARD.encode(&json).replace('=', "%3D")),
            ("twice", BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"a":"{once}"}}"#))),
            ("behind a word", format!("v1{once}")),
            ("in hex", in_hex(&json)),
            ("in hex, in capitals, behind a digit", format!("7{}", in_hex(WORD).to_uppercase())),
            ("in base32", format!("session={}", in_base32(&json))),
            (
                "in base32, in small letters, behind a word",
                format!("x{}", in_base32(WORD).to_lowercase()),
            ),
            ("in hex in base64", BASE64_STANDARD.encode(in_hex(WORD))),
            ("as HTML", WORD.bytes().map(|byte| format!("&#{byte};")).collect()),
            ("as HTML in hex", WORD.bytes().map(|byte| format!("&#x{byte:04X}")).collect()),
            ("as HTML, twice", "opaque&amp;#63;reference&#x26;#62;0123456789~".to_owned()),
            ("in a script", r"opaque\x3freference\x3E0123456789~".to_owned()),
        ] {
            assert!(found(&text), "{case}: {text}");
        }
        assert!(!found(&BASE64_URL_SAFE_NO_PAD.encode("opaque?reference<0123456789~")));
    }

    fn in_hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4648 section 6, without padding.
    fn in_base32(text: &str) -> String {
        let bits: String = text.bytes().map(|byte| format!("{byte:08b}")).collect();
        let digits = bits.as_bytes().chunks(5).map(|bits| {
            let bits: String =
                bits.iter().chain(b"0000").take(5).map(|bit| char::from(*bit)).collect();
            let value = usize::from_str_radix(&bits, 2).unwrap();
            char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[value])
        });
        digits.collect()
    }

    #[test]
    fn what_is_compressed_is_no_text() {
        let zlib = [&[0x78, 0x9C][..], &[7; 30]].concat();
        assert!(hides_compressed(
            format!(".{}.Z0xT.c2ln", BASE64_URL_SAFE_NO_PAD.encode(&zlib)).as_bytes()
        ));
        assert!(!hides_compressed(BASE64_URL_SAFE_NO_PAD.encode([7; 30]).as_bytes()));
        assert!(!hides_compressed(b"theme=dark"));
    }
}
