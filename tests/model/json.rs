//! JSON for the model: numbers stay the digits that they were written with, and
//! members stay in order. Shares nothing with the gateway's reader.

use std::fmt::Write as _;

use serde_json::Value;

/// A JSON value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What stands before the digits of a number that is written as they are, in the
/// documents that the generators make.
const EXACT: char = '\u{1}';

/// A number by its digits.
pub fn exact(digits: &str) -> Value {
    Value::from(format!("{EXACT}{digits}"))
}

/// The document as JSON text.
pub fn written(value: &Value) -> String {
    Json::from(value).to_string()
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => match text.strip_prefix(EXACT) {
                Some(digits) => Self::Number(digits.to_owned()),
                None => Self::Text(text.clone()),
            },
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| (name.clone(), Self::from(value));
                Self::Object(members.iter().map(member).collect())
            }
        }
    }
}

impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = |text: &str| serde_json::to_string(text).expect("text");
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::to_string).collect();
                write!(f, "[{}]", items.join(","))
            }
            Self::Object(members) => {
                let mut text = String::new();
                for (name, value) in members {
                    let comma = if text.is_empty() { "" } else { "," };
                    write!(text, "{comma}{}:{value}", quoted(name))?;
                }
                write!(f, "{{{text}}}")
            }
        }
    }
}

impl Json {
    /// Reads what some other program wrote.
    pub fn parse(text: &str) -> Self {
        let mut reader = Reader { rest: text };
        let value = reader.value();
        assert_eq!(reader.rest.trim_start(), "", "all of it is read");
        value
    }

    /// The same without the members that are `null`.
    pub fn present(&self) -> Self {
        match self {
            Self::Object(members) => {
                let there = members.iter().filter(|(_, value)| *value != Self::Null);
                Self::Object(there.map(|(name, value)| (name.clone(), value.present())).collect())
            }
            Self::List(items) => Self::List(items.iter().map(Self::present).collect()),
            value => value.clone(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// What a path of names leads to.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The texts of the list called `name`; none if it is not there.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.get(name).map_or(&[][..], Self::items).iter().filter_map(Self::text).collect()
    }

    /// What the list called `name` is, or that there is none.
    pub fn list(&self, name: &str) -> &[Self] {
        self.get(name).map_or(&[], Self::items)
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        match self.get(name) {
            Some(Self::Bool(flag)) => *flag,
            _ => default,
        }
    }

    /// Whether both are the same value, whatever the order of members and however
    /// a number is written.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => decimal(one) == decimal(two),
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.is(two))
            }
            (Self::Object(one), Self::Object(two)) => {
                let is_in = |(name, value): &(String, Self)| {
                    other.get(name).is_some_and(|known| known.is(value))
                };
                one.len() == two.len() && one.iter().all(is_in)
            }
            _ => self == other,
        }
    }
}

/// A number as its sign, its digits without zeros around them, and the power of
/// ten of the last one.
fn decimal(text: &str) -> (bool, String, i64) {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut power: i64 = exponent.parse::<i64>().expect("an exponent");
    power -= i64::try_from(fraction.len()).expect("a length");
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let shortest = digits.trim_end_matches('0');
    power += i64::try_from(digits.len() - shortest.len()).expect("a length");
    if shortest.is_empty() {
        return (false, String::new(), 0);
    }
    (is_negative, shortest.to_owned(), power)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eats(&mut self, token: &str) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => {
                self.rest = trimmed;
                false
            }
        }
    }

    fn value(&mut self) -> Json {
        for (word, value) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.eats(word) {
                return value;
            }
        }
        if self.rest.starts_with('"') {
            return Json::Text(self.string());
        }
        if self.eats("[") {
            return Json::List(self.several("]", Self::value));
        }
        if self.eats("{") {
            return Json::Object(self.several("}", |reader| {
                assert!(reader.rest.trim_start().starts_with('"'), "a name: {}", reader.rest);
                let name = reader.string();
                assert!(reader.eats(":"));
                (name, reader.value())
            }));
        }
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        assert!(!digits.is_empty(), "JSON: {}", self.rest);
        self.rest = rest;
        Json::Number(digits.to_owned())
    }

    fn several<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.eats(end) {
            assert!(items.is_empty() || self.eats(","), "a comma: {}", self.rest);
            items.push(item(self));
        }
        items
    }

    fn string(&mut self) -> String {
        let text = self.rest.trim_start();
        let mut escaped = false;
        let end = text.char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let (text, rest) = text.split_at(end.expect("a quote").0 + 1);
        self.rest = rest;
        serde_json::from_str(text).expect("a JSON string")
    }
}

#[test]
fn numbers_are_compared_exactly() {
    let number = |digits: &str| Json::Number(digits.to_owned());
    for (one, two, same) in [
        ("3", "3.0", true),
        ("30", "3e1", true),
        ("0.30", "3E-1", true),
        ("0", "-0.0", true),
        ("123456789012345678901", "123456789012345678902", false),
        ("3", "-3", false),
    ] {
        assert_eq!(number(one).is(&number(two)), same, "{one} {two}");
    }
    let text = r#"{"a\"b": [1.50, true, null, {"c": "\u00e9"}], "d": {}}"#;
    assert_eq!(Json::parse(text).to_string(), r#"{"a\"b":[1.50,true,null,{"c":"é"}],"d":{}}"#);
}
