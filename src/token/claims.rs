//! Claims of a token, and how to find one in them.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::json;
use crate::time::UnixTime;

/// The members of a JWT claims set or of an introspection reply.
#[derive(Clone)]
pub struct Claims(RefCell<Form>);

#[derive(Clone)]
enum Form {
    Members(Rc<Map<String, Value>>),
    /// The same as JSON: a fifth of the memory, to be read again when it is
    /// needed.
    Folded(Box<str>),
}

impl Claims {
    /// These claims.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(RefCell::new(Form::Members(Rc::new(members))))
    }

    /// All members.
    pub fn members(&self) -> Rc<Map<String, Value>> {
        match &*self.0.borrow() {
            Form::Members(members) => Rc::clone(members),
            // Written by `fold`, so it can be read.
            Form::Folded(text) => Rc::new(json::parse_object(text.as_bytes()).unwrap_or_default()),
        }
    }

    /// Keeps them in little memory, for a token that is remembered and whose
    /// claims nobody asks for in the next requests.
    pub fn fold(&self) {
        let Ok(text) = serde_json::to_string(&*self.members()) else { return };
        self.0.replace(Form::Folded(text.into()));
    }

    /// The scopes, in the token's order, each once: from `scope` (RFC 8693
    /// section 4.2), else `scp` or `scopes`, as a list or separated by spaces.
    pub fn scopes(&self) -> Vec<String> {
        let members = self.members();
        let claim = ["scope", "scp", "scopes"].into_iter().find_map(|name| members.get(name));
        let words: Vec<&str> = match claim {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut scopes: Vec<String> = Vec::with_capacity(words.len());
        for word in words {
            // RFC 6749 section 3.3; a list element with a space in it would
            // become two scopes when it is joined again.
            let is_scope = !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
            if is_scope && !scopes.iter().any(|known| known == word) {
                scopes.push(word.to_owned());
            }
        }
        scopes
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.members() == other.members()
    }
}

impl fmt::Debug for Claims {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members().keys()).finish()
    }
}

/// The claim called `name`, if it is a string that is not empty.
pub fn text_of<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A NumericDate (RFC 7519 section 2), or that there is none. A claim that is
/// there but no such date is an error, never absent.
pub fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<UnixTime>, NotADate> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(NotADate)?;
    UnixTime::from_numeric_date(seconds).map(Some).ok_or(NotADate)
}

/// A claim that should be a NumericDate and is not.
#[derive(Debug, PartialEq, Eq)]
pub struct NotADate;

/// The way to a claim: member names, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    names: Vec<String>,
    /// The same as one name.
    dotted: String,
}

impl ClaimPath {
    /// A path of member names; `None` when there are none.
    pub fn new(names: Vec<String>) -> Option<Self> {
        let dotted = names.join(".");
        (!names.is_empty()).then_some(Self { names, dotted })
    }

    /// A path written as one name, with `.` between members.
    ///
    /// Claims named by a URL hold dots, so a claim of exactly that name is
    /// taken first; see [`ClaimPath::find`].
    pub fn dotted(text: &str) -> Self {
        Self { names: text.split('.').map(str::to_owned).collect(), dotted: text.to_owned() }
    }

    /// The claim that the path leads to.
    pub fn find<'a>(&self, members: &'a Map<String, Value>) -> Option<&'a Value> {
        if let Some(value) = members.get(&self.dotted) {
            return Some(value);
        }
        let (first, rest) = self.names.split_first()?;
        let start = members.get(first)?;
        rest.iter().try_fold(start, |value, name| value.as_object()?.get(name))
    }

    /// The outermost member's name.
    pub fn first(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.dotted)
    }
}

/// A claim and what it must be.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    /// Where the claim is.
    pub path: ClaimPath,
    /// What it must be.
    pub test: ClaimTest,
}

/// What a claim must be. `null` is as good as absent.
#[derive(Clone, Debug)]
pub enum ClaimTest {
    /// There.
    Present,
    /// Not there.
    Absent,
    /// One of these values.
    AnyOf(Vec<Value>),
}

impl ClaimRule {
    /// Whether the claim found at the path, if any, is fine. A list is fine
    /// when one of its elements is.
    pub fn accepts(&self, found: Option<&Value>) -> bool {
        let found = found.filter(|value| !value.is_null());
        match (&self.test, found) {
            (ClaimTest::Absent, found) => found.is_none(),
            (_, None) => false,
            (ClaimTest::Present, Some(_)) => true,
            (ClaimTest::AnyOf(accepted), Some(Value::Array(items))) => {
                items.iter().any(|value| accepted.contains(value))
            }
            (ClaimTest::AnyOf(accepted), Some(value)) => accepted.contains(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        Claims::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn dates() {
        for (case, value, expected) in [
            ("whole", json!(1_700_000_000), Ok(Some(UnixTime::from_secs(1_700_000_000)))),
            ("fraction", json!(1.5), Ok(Some(UnixTime::from_millis(1500)))),
            ("text", json!("1700000000"), Err(NotADate)),
            ("null", Value::Null, Err(NotADate)),
            ("boolean", json!(true), Err(NotADate)),
            ("too large", json!(1e300), Err(NotADate)),
        ] {
            assert_eq!(
                numeric_date(&claims(json!({ "exp": value })).members(), "exp"),
                expected,
                "{case}"
            );
        }
        assert_eq!(numeric_date(&Map::new(), "exp"), Ok(None), "absent");
    }

    #[test]
    fn folding_changes_nothing() {
        let members = json!({
            "sub": "al\"ice\u{85}é", "exp": 1_700_000_000.5, "n": 18_446_744_073_709_551_615_u64,
            "list": [1, -1, null, {"a": true}], "empty": "",
        });
        let (plain, folded) = (claims(members.clone()), claims(members));
        folded.fold();
        folded.fold();
        assert_eq!(folded.members(), plain.members());
        assert_eq!(format!("{folded:?}"), format!("{plain:?}"));
    }

    #[test]
    fn scopes() {
        for (case, value, expected) in [
            ("words", json!({"scope": "read  write read"}), &["read", "write"][..]),
            ("scp list", json!({"scp": ["read", "write"]}), &["read", "write"]),
            ("scp words", json!({"scp": "read write"}), &["read", "write"]),
            ("scopes list", json!({"scopes": ["read"]}), &["read"]),
            ("scope before scp", json!({"scope": "a", "scp": "b"}), &["a"]),
            ("an element of two words", json!({"scp": ["read admin"]}), &[]),
            ("not a scope at all", json!({"scope": 7}), &[]),
            ("absent", json!({}), &[]),
        ] {
            assert_eq!(claims(value).scopes(), expected, "{case}");
        }
    }

    #[test]
    fn paths() {
        let value = json!({"a": {"b": [1]}, "https://acme.example/t": "x", "a.c": 2});
        let members = value.as_object().unwrap();
        for (path, expected) in [
            ("a.b", Some(json!([1]))),
            ("https://acme.example/t", Some(json!("x"))),
            ("a.c", Some(json!(2))),
            ("a.b.c", None),
            ("b", None),
        ] {
            assert_eq!(ClaimPath::dotted(path).find(members), expected.as_ref(), "{path}");
        }
    }

    #[test]
    fn accepted_values() {
        let any = |value: Value| ClaimTest::AnyOf(vec![value]);
        for (case, test, found, expected) in [
            ("equal", any(json!("a")), Some(json!("a")), true),
            ("another", any(json!("a")), Some(json!("b")), false),
            ("one of a list", any(json!("a")), Some(json!(["b", "a"])), true),
            ("none of a list", any(json!("a")), Some(json!(["b"])), false),
            ("number is not text", any(json!(1)), Some(json!("1")), false),
            ("not there at all", any(json!("a")), None, false),
            ("present", ClaimTest::Present, Some(json!("x")), true),
            ("an empty list is present", ClaimTest::Present, Some(json!([])), true),
            ("null is not present", ClaimTest::Present, Some(Value::Null), false),
            ("absent is not present", ClaimTest::Present, None, false),
            ("absent", ClaimTest::Absent, None, true),
            ("null is absent", ClaimTest::Absent, Some(Value::Null), true),
            ("false is not absent", ClaimTest::Absent, Some(json!(false)), false),
            ("an empty list is not absent", ClaimTest::Absent, Some(json!([])), false),
        ] {
            let rule = ClaimRule { path: ClaimPath::dotted("role"), test };
            assert_eq!(rule.accepts(found.as_ref()), expected, "{case}");
        }
    }
}
