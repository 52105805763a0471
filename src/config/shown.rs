//! What problems show of what is in the place of a name or a secret: nothing that may be a
//! secret itself.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Strings up to this length are shown in problems; longer ones may be keys.
pub(super) const SHOWN: usize = 40;

/// A secret that a host keeps, without the line break that editors and `echo` end a file
/// with.
pub(super) fn without_end(secret: &str) -> &str {
    secret.trim_end_matches(['\r', '\n'])
}

/// `{env: NAME}` for a problem, without the name if it may be the secret itself.
///
/// Variables are named in words, all of them in upper or all in lower case; a key or a
/// password seldom is.
pub fn shown_variable(name: &str) -> String {
    let text = name.strip_prefix('$').unwrap_or(name);
    let is_upper = text.bytes().all(|byte| !byte.is_ascii_lowercase());
    let is_lower = text.bytes().all(|byte| !byte.is_ascii_uppercase());
    let is_word = |word: &str| word.len() <= 24 && word.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_name = text.len() <= 80
        && (is_upper || is_lower)
        && text.split(['_', '.']).all(is_word)
        && !text.starts_with(|first: char| first.is_ascii_digit());
    if is_name {
        return format!("{{env: {name}}}");
    }
    let bytes = name.len();
    format!("{{env: ...}} with {bytes} bytes that are no name of a variable, and not shown")
}

/// A member's name for a problem; not shown if it is more likely to be a value.
pub fn shown_member(name: &str) -> String {
    if is_value(name, SHOWN) { unshown(name) } else { format!("{name:?}") }
}

/// A member's name in a path; likewise, but claims may have long names.
pub(super) fn step(name: &str) -> Cow<'_, str> {
    if is_value(name, 200) { unshown(name).into() } else { name.into() }
}

/// Whether a text in the place of a name is more likely to be a value: a PEM, a line such as
/// `X-Api-Key: VALUE`, or long.
fn is_value(name: &str, longest: usize) -> bool {
    name.len() > longest || name.contains("-----") || name.contains(": ")
}

/// Whether the name of an unknown field may be shown. One of letters is what an operator has
/// to read, and seldom a value; one with digits (`hunter2`) may be a password, unless it is a
/// known one's but for these. Instead of any other there is its length, below the path of the
/// object that it is in.
pub(super) fn is_field(name: &str, known: &[&str]) -> bool {
    let is_separator = |byte: u8| b"_-.@".contains(&byte);
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    let letters = |name: &str| {
        let letters = name.bytes().filter(u8::is_ascii_alphabetic);
        letters.map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    let is_like = |known: &&str| {
        name.len() <= known.len().saturating_add(2) && letters(known) == letters(name)
    };
    name.len() <= SHOWN
        && name.bytes().all(|byte| byte.is_ascii_digit() || is_letter(byte) || is_separator(byte))
        && (!name.bytes().any(|byte| byte.is_ascii_digit()) || known.iter().any(is_like))
}

pub(super) fn unshown(name: &str) -> String {
    format!("(a name of {} bytes)", name.len())
}

/// For an object in place of a secret: the names of its members that are what its author
/// took for the way to configure a secret. Any other may be the secret.
pub fn member_names(members: &Map<String, Value>) -> String {
    const KNOWN: [&str; 26] = [
        "alg",
        "crv",
        "d",
        "e",
        "env",
        "file",
        "filename",
        "from",
        "inline_string",
        "k",
        "key",
        "kid",
        "kty",
        "n",
        "name",
        "path",
        "sds",
        "secret",
        "secretKeyRef",
        "secretName",
        "secretRef",
        "use",
        "value",
        "valueFrom",
        "vault",
        "x",
    ];
    let shown = |name: &String| match KNOWN.contains(&name.as_str()) {
        true => format!("{name:?}"),
        false => unshown(name),
    };
    let names: Vec<_> = members.keys().take(3).map(shown).collect();
    match names.as_slice() {
        [] => "an empty object".to_owned(),
        names => format!("an object with {}", names.join(", ")),
    }
}

/// Whether an object is `{env: NAME}`.
pub fn is_env(members: &Map<String, Value>) -> bool {
    members.len() == 1 && members.get("env").is_some_and(Value::is_string)
}
