//! The meaning of a scalar without quotes: each reader of YAML has its own.
//!
//! Envoy reads with yaml-cpp and has few numbers (`parseYamlNode` in its yaml_utility.cc),
//! Kong with lyaml (its implicit.lua), and whatever goes to Kubernetes is read by
//! sigs.k8s.io/yaml, as are files for decK (its goyaml.v2/resolve.go). The first two are
//! compared with the readers themselves: tests/envoy/spellings.rs, tests/fixtures/spellings.tsv.

use gatepass::json;
use serde_json::{Number, Value};

use crate::tree::NULL;

/// Who reads a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Envoy 1.40.
    Envoy,
    /// Kong, by a kong.yml.
    Kong,
    /// kubectl, Helm, and what else makes JSON for Kubernetes.
    Kubernetes,
}

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// A value of JSON.
    Value(Value),
    /// An infinite number or none at all, for which JSON has no name.
    NoNumber,
}

impl Reader {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Envoy, Self::Kong, Self::Kubernetes];

    /// What a plain scalar means.
    pub fn read(self, text: &str) -> Plain {
        if NULL.contains(&text) {
            return Plain::Value(Value::Null);
        }
        let found = match self {
            Self::Envoy => envoy(text),
            Self::Kong => kong(text),
            Self::Kubernetes => kubernetes(text),
        };
        found.unwrap_or_else(|| Plain::Value(text.into()))
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::Kong => "Kong",
            Self::Kubernetes => "Kubernetes",
        }
    }
}

/// What a plain scalar looks like: the core schema of YAML 1.2 (section 10.3.2).
pub fn looks(text: &str) -> Plain {
    if NULL.contains(&text) {
        return Plain::Value(Value::Null);
    }
    let unsigned = text.strip_prefix("0o").map(|digits| (digits, 8));
    let unsigned = unsigned.or_else(|| text.strip_prefix("0x").map(|digits| (digits, 16)));
    let whole = match unsigned {
        Some((digits, radix)) => digits_of(digits, radix),
        None => decimal(text),
    };
    let flag = || flag(text, &["true"], &["false"]);
    whole.or_else(|| float(text)).or_else(flag).unwrap_or_else(|| Plain::Value(text.into()))
}

/// Whether both mean the same.
pub fn agree(one: &Plain, other: &Plain) -> bool {
    match (one, other) {
        (Plain::Value(one), Plain::Value(other)) => json::is_same(one, other),
        (one, other) => one == other,
    }
}

fn envoy(text: &str) -> Option<Plain> {
    let flag = flag(text, &["true", "yes", "on", "y"], &["false", "no", "off", "n"]);
    flag.or_else(|| {
        let (is_negative, digits) = signed(text);
        let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let (digits, radix) = match (hexadecimal, digits.strip_prefix('0')) {
            (Some(digits), _) => (digits, 16),
            (None, Some(rest)) if !rest.is_empty() => (rest, 8),
            (None, _) => (digits, 10),
        };
        let size = i128::from(u64::from_str_radix(unsigned(digits)?, radix).ok()?);
        let number = i64::try_from(if is_negative { 0_i128.checked_sub(size)? } else { size });
        // What would not be exact in every message is left as text, in decimal.
        let number = number.ok()?;
        Some(Plain::Value(match i32::try_from(number) {
            Ok(small) => small.into(),
            Err(_) => number.to_string().into(),
        }))
    })
}

fn kong(text: &str) -> Option<Plain> {
    let (is_negative, digits) = signed(text);
    let plain = digits.replace('_', "");
    let starts_with = |first: &str| {
        let rest = digits.strip_prefix(first)?.trim_start_matches('_');
        (!rest.is_empty()).then(|| rest.replace('_', ""))
    };
    let octal = starts_with("0").and_then(|rest| digits_of(&rest, 8));
    let whole = octal.or_else(|| {
        // Underscores alone are not enough.
        digits
            .trim_start_matches('_')
            .starts_with(|first: char| first.is_ascii_digit())
            .then(|| digits_of(&plain, 10))?
    });
    let whole = whole.map(|number| negated(number, is_negative));
    let without = text.replace('_', "");
    let is_float = without.contains(['.', 'e', 'E']);
    let flags = || flag(text, &["true", "yes", "on"], &["false", "no", "off"]);
    let hexadecimal = || starts_with("0x").and_then(|rest| digits_of(&rest, 16));
    // One digit alone is not taken.
    let binary = || {
        let rest = digits.strip_prefix("0b")?.trim_start_matches('_');
        (rest.len() > 1).then(|| digits_of(&rest.replace('_', ""), 2)).flatten()
    };
    let based = || hexadecimal().or_else(binary).map(|number| negated(number, is_negative));
    whole
        .or_else(|| is_float.then(|| float(&without)).flatten())
        .or_else(flags)
        .or_else(based)
        .or_else(|| sexagesimal(digits).map(|number| negated(number, is_negative)))
}

fn kubernetes(text: &str) -> Option<Plain> {
    let flag = flag(text, &["true", "yes", "on", "y"], &["false", "no", "off", "n"]);
    if flag.is_some()
        || !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
    {
        return flag;
    }
    let plain = text.replace('_', "");
    if text.starts_with('.')
        || text.contains(".inf")
        || text.contains(".Inf")
        || text.contains(".INF")
    {
        return float(text);
    }
    let (is_negative, digits) = signed(&plain);
    let lower = digits.to_ascii_lowercase();
    let based = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find_map(|(prefix, radix)| digits_of(lower.strip_prefix(prefix)?, radix));
    // One that does not fit is read as a decimal fraction.
    let octal = || {
        let rest = digits.strip_prefix('0').and_then(unsigned)?;
        let exact = u64::from_str_radix(rest, 8).ok()?;
        Some(Plain::Value(exact.into()))
    };
    let decimal =
        || (!digits.starts_with('0') || digits == "0").then(|| digits_of(digits, 10)).flatten();
    let whole = based.or_else(octal).or_else(decimal).map(|number| negated(number, is_negative));
    whole.or_else(|| float(&plain))
}

/// A word in lower case, in upper case, or with a capital.
fn flag(text: &str, yes: &[&str], no: &[&str]) -> Option<Plain> {
    let lower = text.to_ascii_lowercase();
    let (first, rest) = text.split_at_checked(1)?;
    let is_spelled = text == lower
        || text == text.to_ascii_uppercase()
        || first == first.to_ascii_uppercase() && rest == rest.to_ascii_lowercase();
    let is_one = |words: &[&str]| is_spelled && words.contains(&lower.as_str());
    (is_one(yes) || is_one(no)).then(|| Plain::Value(is_one(yes).into()))
}

/// The sign of a number, and the rest.
fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Digits without another sign.
fn unsigned(digits: &str) -> Option<&str> {
    digits.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(digits)
}

/// A whole number without a sign, exact as far as 64 bits go.
fn digits_of(digits: &str, radix: u32) -> Option<Plain> {
    let exact = u64::from_str_radix(unsigned(digits)?, radix).ok();
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    let sum = |sum: f64, digit: char| {
        digit.to_digit(radix).map_or(sum, |digit| sum.mul_add(f64::from(radix), digit.into()))
    };
    let rounded = || match radix {
        10 => digits.parse().ok(),
        _ => Some(digits.chars().fold(0.0, sum)),
    };
    let number = exact.map(Number::from).or_else(|| Number::from_f64(rounded()?));
    is_number.then(|| number.map_or(Plain::NoNumber, |number| Plain::Value(number.into())))
}

fn negated(number: Plain, is_negative: bool) -> Plain {
    match number {
        Plain::Value(Value::Number(number)) if is_negative => {
            let whole = number.as_i64().and_then(i64::checked_neg).map(Number::from);
            let number = whole.or_else(|| Number::from_f64(-number.as_f64()?));
            number.map_or(Plain::NoNumber, |number| Plain::Value(number.into()))
        }
        other => other,
    }
}

fn decimal(text: &str) -> Option<Plain> {
    let (is_negative, digits) = signed(text);
    digits_of(digits, 10).map(|number| negated(number, is_negative))
}

/// A number with a point or an exponent, or one of those that are none.
fn float(text: &str) -> Option<Plain> {
    const NONE: [&str; 6] = [".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"];
    let (_, rest) = signed(text);
    if NONE.contains(&rest) {
        return Some(Plain::NoNumber);
    }
    let is_number = rest.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && rest.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let number = is_number.then(|| text.parse::<f64>().ok()).flatten()?;
    Some(json::rounded(number).map_or(Plain::NoNumber, |number| Plain::Value(number.into())))
}

/// Hours, minutes and seconds, which were numbers in YAML 1.1.
fn sexagesimal(text: &str) -> Option<Plain> {
    let (whole, fraction) =
        text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let (first, rest) = whole.split_once(':')?;
    let second = rest.split(':').next().unwrap_or_default();
    let is_digits = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
    let is_minutes = is_digits(second) && second.len() < 3 && (second.len() == 1 || second < "60");
    let is_time = is_digits(first)
        && is_minutes
        && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
        && fraction.is_none_or(is_digits);
    let parts = whole.split(':').filter(|part| !part.is_empty());
    let sum = |sum: f64, part: &str| Some(sum.mul_add(60.0, part.parse().ok()?));
    let seconds = is_time.then(|| parts.into_iter().try_fold(0.0, sum)).flatten()?;
    let fraction = fraction.map_or(Some(0.0), |it| format!("0.{it}").parse::<f64>().ok())?;
    Some(json::rounded(seconds + fraction).map_or(Plain::NoNumber, |it| Plain::Value(it.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the readers themselves say: Envoy, lyaml and kubectl.
    #[test]
    fn scalars_mean_what_their_readers_take_them_for() {
        let lines = include_str!("../../../tests/fixtures/spellings.tsv").lines();
        let mut lines = lines.filter(|line| !line.starts_with('#'));
        let names: Vec<_> = lines.next().unwrap().split('\t').skip(1).collect();
        assert_eq!(names, Reader::ALL.map(Reader::name));
        let mut count = 0;
        for line in lines {
            let columns: Vec<_> = line.split('\t').collect();
            let [spelling, told @ ..] = columns.as_slice() else { panic!("{line}") };
            for (reader, told) in Reader::ALL.into_iter().zip(told) {
                let found = reader.read(spelling);
                let expected = match *told {
                    "-" => Plain::NoNumber,
                    told => Plain::Value(serde_json::from_str(told).unwrap()),
                };
                let is_huge = matches!(&expected, Plain::Value(Value::Number(it))
                    if it.as_f64().is_some_and(|it| it.abs() > 9e15));
                let is_same = match (&found, &expected) {
                    // The last digits are written in another way.
                    (Plain::Value(one), Plain::Value(other)) if is_huge => {
                        one.as_f64() == other.as_f64()
                    }
                    // kubectl leaves it as text; a host has no such number.
                    (Plain::NoNumber, _) if *spelling == "1e400" => true,
                    (one, other) => agree(one, other),
                };
                assert!(is_same, "{spelling} to {}: {found:?}, not {expected:?}", reader.name());
                count += 1;
            }
        }
        assert!(count > 300, "{count}");
    }

    #[test]
    fn what_scalars_look_like() {
        for (text, expected) in [
            ("true", "true"),
            ("no", "\"no\""),
            ("010", "10"),
            ("0o10", "8"),
            ("0x1F", "31"),
            ("1e3", "1000"),
            ("1.5", "1.5"),
            ("-7", "-7"),
            ("~", "null"),
            ("", "null"),
            ("0b11", "\"0b11\""),
            ("1_000", "\"1_000\""),
            ("1:30", "\"1:30\""),
            ("e1", "\"e1\""),
            ("1.2.3", "\"1.2.3\""),
            ("-", "\"-\""),
            ("2026-01-01", "\"2026-01-01\""),
        ] {
            let Plain::Value(found) = looks(text) else { panic!("{text}") };
            assert_eq!(found.to_string(), expected, "{text}");
        }
        assert_eq!(looks(".inf"), Plain::NoNumber);
    }
}
