//! What must not be told.

use std::collections::{BTreeSet, HashMap};

/// By how many of their first bytes secrets are found.
const START: usize = 8;

/// So many are looked for one by one.
const FEW: usize = 32;

/// Secrets, by how they start: there may be thousands, and a text for each request, so that a
/// text is gone through once for all of them.
#[derive(Default)]
pub struct Secrets {
    all: BTreeSet<String>,
    by_start: HashMap<[u8; START], Vec<String>>,
    short: Vec<String>,
}

impl Secrets {
    pub fn insert(&mut self, secret: &str) {
        if self.all.insert(secret.to_owned()) {
            let of_its_start = match secret.as_bytes().first_chunk::<START>() {
                Some(start) => self.by_start.entry(*start).or_default(),
                None => &mut self.short,
            };
            of_its_start.push(secret.to_owned());
        }
    }

    /// One that is in a text.
    pub fn find_in(&self, text: &str) -> Option<&str> {
        // By code that is optimised in tests too.
        let is_there =
            |secret: &&String| memchr::memmem::find(text.as_bytes(), secret.as_bytes()).is_some();
        if self.all.len() <= FEW {
            return self.all.iter().find(is_there).map(String::as_str);
        }
        let at_start = |(position, window): (usize, &[u8])| {
            let start: &[u8; START] = window.try_into().ok()?;
            let rest = &text.as_bytes()[position..];
            self.by_start.get(start)?.iter().find(|secret| rest.starts_with(secret.as_bytes()))
        };
        let mut windows = text.as_bytes().windows(START).enumerate();
        let found = self.short.iter().find(is_there).or_else(|| windows.find_map(at_start));
        found.map(String::as_str)
    }
}

/// Whether the start of a JSON object in base64url is in a text: a token, or a piece of one. In
/// a sealed one the three letters come by chance.
pub fn has_token(text: &str) -> bool {
    let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let mut starts = memchr::memmem::find_iter(text.as_bytes(), b"eyJ");
    starts.any(|at| {
        let before = text.as_bytes()[..at].iter().rposition(|byte| !is_of_word(byte));
        !text[before.map_or(0, |before| before + 1)..].starts_with("gps_")
    })
}

impl Extend<String> for Secrets {
    fn extend<I: IntoIterator<Item = String>>(&mut self, secrets: I) {
        secrets.into_iter().for_each(|secret| self.insert(&secret));
    }
}

#[test]
fn a_token_is_told_from_random_letters() {
    for (text, expected) in [
        ("eyJhbGciOiJub25lIn0.e30.", true),
        ("Bearer eyJhbGciOiJub25lIn0.e30.", true),
        ("token=eyJh; Path=/", true),
        ("{\"token\":\"eyJh\"}", true),
        ("a.eyJh", true),
        ("a piece: bGciOiJeyJhI", true),
        ("shop_token=gps_AdAfeyJSN5", false),
        ("gps_eyJh", false),
        ("gps_AdAf eyJh", true),
        ("", false),
    ] {
        assert_eq!(has_token(text), expected, "{text}");
    }
}

#[test]
fn one_secret_of_many_is_found_wherever_it_is() {
    for count in [FEW - 3, 10 * FEW] {
        let mut secrets = Secrets::default();
        secrets.extend((0..count).map(|n| format!("secret-number-{n:04}-of-all")));
        secrets.extend(["brief", "eight888", "eight888 and more"].map(str::to_owned));
        for (text, found) in [
            ("", None),
            ("secret-number-0007-of-none", None),
            ("eight88", None),
            ("it is brief", Some("brief")),
            ("eight888", Some("eight888")),
            ("in eight888", Some("eight888")),
            ("secret-secret-number-0007-of-all", Some("secret-number-0007-of-all")),
            ("secret-number-0008-of-all-", Some("secret-number-0008-of-all")),
        ] {
            assert_eq!(secrets.find_in(text), found, "{text} among {count}");
        }
    }
}
