//! Searches the interpretations of a text: as is, and decoded in the ways in which
//! services encode cookies and pages.
//!
//! Nobody pays for a login that fails, and a page may repeat what was sent to it, so the
//! search of a reply has a budget. A reply that takes more is not passed on.

use super::decoding::{
    Alphabet, BASE32, BASE64, Decoded, HEX, SHORTEST, is_of_escaped, is_of_word, without_entities,
    without_escapes,
};
use crate::http::percent_decode;

/// How often a text is decoded: base64 within JSON within base64.
const DEPTH: u8 = 3;

/// How many bytes of one reply are decoded, those that are decoded again counted again. A
/// run of characters that may encode something counts half, if it is no text.
const BUDGET: usize = 256 << 10;

/// The search of one reply.
pub struct Search<'a> {
    finds: &'a dyn Fn(&[u8]) -> bool,
    left: usize,
}

/// Decoding a reply in all ways takes more than the budget of a search.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMuch;

/// Decodes one kind of escapes.
type Decoder = fn(&[u8]) -> Vec<u8>;

impl<'a> Search<'a> {
    /// A search for texts for which `finds` is true; it gets a text, or words of one.
    pub const fn new(finds: &'a dyn Fn(&[u8]) -> bool) -> Self {
        Self { finds, left: BUDGET }
    }

    /// True if some reading of `text` has what is searched for.
    pub fn is_in(&mut self, text: &[u8]) -> Result<bool, TooMuch> {
        if (self.finds)(text) {
            return Ok(true);
        }
        for word in words(text) {
            if self.is_decoded_from(word, DEPTH)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_decoded_from(&mut self, word: &[u8], depth: u8) -> Result<bool, TooMuch> {
        let Some(deeper) = depth.checked_sub(1) else { return Ok(false) };
        if self.is_in_escapes(word, deeper)? {
            return Ok(true);
        }
        for run in BASE64.runs(word) {
            self.spend(run.len() / 2)?;
            if self.is_in_run(&BASE64, run, deeper)? {
                return Ok(true);
            }
            for run in BASE32.runs(run) {
                if self.is_in_run(&BASE32, run, deeper)? {
                    return Ok(true);
                }
            }
            for run in HEX.runs(run) {
                if self.is_in_run(&HEX, run, deeper)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn is_in_escapes(&mut self, word: &[u8], depth: u8) -> Result<bool, TooMuch> {
        const ESCAPES: [(u8, Decoder); 3] = [
            (b'%', |part| percent_decode(part).into_owned()),
            (b'\\', without_escapes),
            (b'&', without_entities),
        ];
        // UTF-16, as far as it is ASCII.
        if word.contains(&0) {
            self.spend(word.len())?;
            let decoded: Vec<_> = word.iter().copied().filter(|byte| *byte != 0).collect();
            if self.is_in_decoded(&decoded, depth)? {
                return Ok(true);
            }
        }
        if !word.iter().any(|byte| ESCAPES.iter().any(|(sign, _)| sign == byte)) {
            return Ok(false);
        }
        let parts = word.split(|byte| !is_of_escaped(*byte)).filter(|part| part.len() >= SHORTEST);
        for part in parts {
            for (_, decode) in ESCAPES.iter().filter(|(sign, _)| part.contains(sign)) {
                self.spend(part.len())?;
                let decoded = decode(part);
                if decoded != part && self.is_in_decoded(&decoded, depth)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn is_in_run<const BITS: usize>(
        &mut self,
        alphabet: &Alphabet<BITS>,
        run: &[u8],
        depth: u8,
    ) -> Result<bool, TooMuch> {
        let values = alphabet.values(run);
        for decoded in alphabet.decoded(&values) {
            let mut from = 0;
            loop {
                let (word, looked) = decoded.word(from);
                self.spend(looked)?;
                let Some((start, end)) = word else { break };
                if self.is_in_decoded(&decoded.bytes(start, end), depth)? {
                    return Ok(true);
                }
                from = end;
            }
        }
        Ok(false)
    }

    fn is_in_decoded(&mut self, text: &[u8], depth: u8) -> Result<bool, TooMuch> {
        for word in words(text) {
            if (self.finds)(word) || self.is_decoded_from(word, depth)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), TooMuch> {
        self.left = self.left.checked_sub(bytes).ok_or(TooMuch)?;
        Ok(())
    }
}

/// The words of a text that are long enough to be a token.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = text.split(|byte| !is_of_word(*byte)).filter(|word| word.len() >= SHORTEST);
    words.filter(|word| word.iter().filter(|byte| **byte != 0).take(SHORTEST).count() == SHORTEST)
}

/// True if base64 in `text` contains compressed data, which cannot be searched: gzip (RFC
/// 1952), zlib (RFC 1950) as in Flask's sessions, or Zstandard.
pub fn hides_compressed(text: &[u8]) -> bool {
    let text = percent_decode(text);
    let mut starts = BASE64.runs(&text).map(|run| {
        let start = run.get(..SHORTEST).unwrap_or(run);
        Decoded::<6>(&BASE64.values(start)).start()
    });
    starts.any(|start: [u8; 4]| {
        matches!(
            start,
            [0x1F, 0x8B, 0x08, _]
                | [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..]
                | [0x28, 0xB5, 0x2F, 0xFD]
        )
    })
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_word_is_found_however_it_is_encoded() {
        const WORD: &str = "opaque?reference>0123456789~";
        let found = |text: &str| {
            let has_word = |reading: &[u8]| {
                reading.windows(WORD.len()).any(|window| window == WORD.as_bytes())
            };
            Search::new(&has_word).is_in(text.as_bytes()).unwrap()
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

    type Encoder = fn(&str) -> String;

    const ENCODERS: [Encoder; 13] = [
        |text| text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        |text| text.replace('%', "%25").replace('.', "%2e").replace('&', "%26"),
        |text| text.bytes().map(|byte| format!("\\u00{byte:02x}")).collect(),
        |text| text.bytes().map(|byte| format!("\\x{byte:02X}")).collect(),
        |text| text.replace('\\', "\\\\").replace('/', "\\/").replace('.', "\\u002e"),
        |text| text.replace('&', "&amp;").replace('.', "&period;"),
        |text| text.bytes().map(|byte| format!("&#{byte};")).collect(),
        |text| text.chars().flat_map(|character| [character, '\0']).collect(),
        |text| BASE64_STANDARD.encode(text),
        |text| BASE64_URL_SAFE_NO_PAD.encode(text),
        in_base32,
        |text| in_base32(text).to_lowercase(),
        in_hex,
    ];

    /// Whatever three encoders make of a token, with something before and behind it, it is
    /// found, or the search gives up: that never says that there is nothing.
    #[test]
    fn a_token_is_found_in_all_that_three_encoders_make_of_it() {
        const TOKEN: &str = "opaque-reference.0123456789~";
        let has_token = |text: &[u8]| memchr::memmem::find(text, TOKEN.as_bytes()).is_some();
        let search = |text: &str| Search::new(&has_token).is_in(text.as_bytes());
        let around = ["", "x", "v1", "7a3", "{\"a\":\"", " ", "&b=", "\\n"];
        let mut given_up = 0;
        for n in 0..ENCODERS.len().pow(3) {
            let places = [n % 13, n / 13 % 13, n / 169];
            let mut text = TOKEN.to_owned();
            for (depth, place) in places.into_iter().enumerate() {
                let [before, behind] = [n + depth, n / 3].map(|n| around[n % around.len()]);
                text = ENCODERS[place](&format!("{before}{text}{behind}"));
                match search(&text) {
                    Ok(found) => assert!(found, "{places:?}: {text}"),
                    Err(TooMuch) => given_up += 1,
                }
            }
        }
        assert!(given_up < 20, "{given_up} of 6591");
    }

    /// What is repeated to whoever sent it takes no more than the budget.
    #[test]
    fn a_search_that_takes_too_long_is_given_up() {
        let nothing = |_: &[u8]| false;
        let search = |part: &str, bytes: usize| {
            Search::new(&nothing).is_in(part.repeat(bytes / part.len()).as_bytes())
        };
        assert_eq!(search("lorem ipsum ", 262_144), Ok(false));
        assert_eq!(search("<a href=\"/x/page-1?a=b&amp;c=d%20e\">\n", 65_536), Ok(false));
        for part in ["333633333336", "%2561", "VVVV", "MFRGGZDF"] {
            assert_eq!(search(part, 262_144), Err(TooMuch), "{part}");
        }
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
