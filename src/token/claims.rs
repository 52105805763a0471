//! Claims of a token, and paths to them.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use super::compact::claims_of;
use crate::json::{self, Document, Json, Members};
use crate::time::UnixTime;

/// The claims of a verified token, in the form that takes the least memory.
pub(super) struct Claims(Cell<Form>);

#[derive(Clone, Default)]
enum Form {
    /// All claims of the token.
    Whole(Rc<Document>),
    /// Some of them, or others.
    Document(Rc<Document>),
    /// In the token itself, which each request presents: parsed again when needed.
    #[default]
    InToken,
    /// As JSON; also parsed again when needed.
    Folded(Rc<Box<str>>),
}

impl Claims {
    /// These claims, which may be some of those of a token.
    pub(super) fn new(claims: impl Into<Rc<Document>>) -> Self {
        Self(Cell::new(Form::Document(claims.into())))
    }

    /// The claims of a token as they are in it.
    pub(super) fn whole(claims: impl Into<Rc<Document>>) -> Self {
        Self(Cell::new(Form::Whole(claims.into())))
    }

    /// All of them, if need be out of the `token` that they are of; `None` if they are
    /// only there and it is missing.
    pub(super) fn document(&self, token: Option<&[u8]>) -> Option<Rc<Document>> {
        match self.form() {
            Form::Whole(document) | Form::Document(document) => Some(document),
            Form::InToken => claims_of(token?).ok().map(Rc::new),
            Form::Folded(text) => Document::parse(text.as_bytes().to_vec()).ok().map(Rc::new),
        }
    }

    /// The size of what is kept of them, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self.form() {
            Form::Whole(document) | Form::Document(document) => document.bytes(),
            Form::InToken => 0,
            Form::Folded(text) => text.len(),
        }
    }

    /// Gives back the memory that reading them took beyond what they need.
    pub(super) fn trim(&self) {
        self.0.set(match self.form() {
            Form::Whole(document) => Form::Whole(Rc::new(Document::clone(&document))),
            Form::Document(document) => Form::Document(Rc::new(Document::clone(&document))),
            compact => compact,
        });
    }

    /// Stores them compactly, for a cached token whose claims the next requests do not
    /// need; not at all, if each request presents a token that contains all of them.
    pub(super) fn compact(&self, are_presented: bool) {
        let folded = |document: &Document| {
            let text = serde_json::to_string(&document.members()).ok()?;
            Some(Form::Folded(Rc::new(text.into())))
        };
        let compact = match self.form() {
            Form::Whole(_) if are_presented => Some(Form::InToken),
            Form::Whole(document) | Form::Document(document) => folded(&document),
            Form::InToken | Form::Folded(_) => None,
        };
        if let Some(compact) = compact {
            self.0.set(compact);
        }
    }

    fn form(&self) -> Form {
        let form = self.0.take();
        self.0.set(form.clone());
        form
    }
}

impl Clone for Claims {
    fn clone(&self) -> Self {
        Self(Cell::new(self.form()))
    }
}

impl fmt::Debug for Claims {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document(None).fmt(f)
    }
}

/// The claim called `name`, if it is a non-empty string.
pub fn text_of<'a>(members: impl Into<Members<'a>>, name: &str) -> Option<&'a str> {
    text(members.into().get(name))
}

/// A claim, if it is a non-empty string.
pub fn text(claim: Option<Json<'_>>) -> Option<&str> {
    claim?.as_str().filter(|text| !text.is_empty())
}

/// A NumericDate (RFC 7519 section 2), if present. A claim of any other kind is an error,
/// and never counts as absent.
// RFC 7519 section 2: "A JSON numeric value representing the number of seconds from
// 1970-01-01T00:00:00Z UTC until the specified UTC date/time, ignoring leap seconds."
// (R26)
pub fn numeric_date<'a>(
    claims: impl Into<Members<'a>>,
    name: &str,
) -> Result<Option<UnixTime>, NotADate> {
    match claims.into().get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Number(seconds)) => {
            UnixTime::from_numeric_date(seconds).map(Some).ok_or(NotADate)
        }
        Some(_) => Err(NotADate),
    }
}

/// Whether a token with this `exp` has ended, regardless of clock skew: an identity minted for
/// it would be expired. In whole seconds, like the minted `exp`.
pub(super) const fn has_ended(exp: UnixTime, now: UnixTime) -> bool {
    exp.as_secs() <= now.as_secs()
}

/// A claim that should be a NumericDate but is not.
#[derive(Debug, PartialEq, Eq)]
pub struct NotADate;

/// The path to a claim, wherever one is configured.
///
/// Texts with dots are ambiguous, since claims named by a URL hold dots: `a.b` is the
/// member `a.b` if there is one, else the member `b` of `a`. A list of member names and a
/// JSON pointer (RFC 6901) are unambiguous. `null` counts as absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClaimPath {
    /// Member names, outermost first; never empty.
    names: Vec<String>,
    /// The path as the name of a single member, which is tried first.
    whole: Option<String>,
}

impl ClaimPath {
    /// A path of exactly these member names; `None` when there are none.
    pub fn new(names: Vec<String>) -> Option<Self> {
        (!names.is_empty()).then_some(Self { names, whole: None })
    }

    /// Parses a path: a JSON pointer if it starts with `/`, else a name in which dots may
    /// lead into objects.
    pub fn parse(text: &str) -> Option<Self> {
        let Some(pointer) = text.strip_prefix('/') else {
            return is_name(text).then(|| Self::dotted(text));
        };
        let is_escaped = |name: &str| name.split('~').skip(1).all(|it| it.starts_with(['0', '1']));
        let names: Vec<_> = pointer.split('/').collect();
        if !names.iter().all(|name| is_escaped(name)) {
            return None;
        }
        Self::new(names.iter().map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
    }

    /// A path written as a name, with `.` between members.
    pub fn dotted(text: &str) -> Self {
        Self { names: text.split('.').map(str::to_owned).collect(), whole: Some(text.to_owned()) }
    }

    /// The claim that the path leads to.
    pub fn find<'a>(&self, members: impl Into<Members<'a>>) -> Option<Json<'a>> {
        let members = members.into();
        self.find_by(|name| members.get(name))
    }

    /// The claim that the path leads to, among those that `member` finds by their names.
    pub fn find_by<'a>(&self, member: impl Fn(&str) -> Option<Json<'a>>) -> Option<Json<'a>> {
        let whole = self.whole.as_ref().and_then(|whole| member(whole));
        whole.filter(|value| !value.is_null()).or_else(|| {
            let (first, rest) = self.names.split_first()?;
            let start = member(first)?;
            let found = rest.iter().try_fold(start, |value, name| value.get(name));
            found.filter(|value| !value.is_null())
        })
    }

    /// The claim that the path leads to, if it is a non-empty string.
    pub fn text<'a>(&self, members: impl Into<Members<'a>>) -> Option<&'a str> {
        text(self.find(members))
    }

    /// Its member names with dots between them.
    pub fn name(&self) -> Cow<'_, str> {
        match (&self.whole, &*self.names) {
            (Some(name), _) => name.into(),
            (None, [only]) => only.into(),
            (None, names) => names.join(".").into(),
        }
    }

    /// True if the path leads to, or into, a member for which `is_member` is true.
    pub fn starts_at(&self, is_member: impl Fn(&str) -> bool) -> bool {
        self.whole
            .as_deref()
            .into_iter()
            .chain(self.names.first().map(String::as_str))
            .any(is_member)
    }
}

/// True if a text can be the name of a claim, and is not a mistake: another notation
/// (`$.a`, `#/a`, `[a, b]`), a space at an end or an empty name between dots would name
/// a claim that no token has, so a rule would see it as absent. A pointer can still
/// name such a claim.
fn is_name(text: &str) -> bool {
    let is_other = ["$.", "$[", "#/", "["].iter().any(|start| text.starts_with(start));
    !is_other && text.trim() == text && !text.split('.').any(str::is_empty)
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A claim and the condition on it.
#[derive(Clone, Debug)]
pub struct ClaimRule {
    /// The path to the claim.
    pub path: ClaimPath,
    /// The condition on its value.
    pub test: ClaimTest,
}

/// A condition on a claim. `null` counts as absent.
#[derive(Clone, Debug)]
pub enum ClaimTest {
    /// Present.
    Present,
    /// Absent.
    Absent,
    /// One of these values, or a list with one of them.
    AnyOf(Vec<Value>),
    /// One of these values; a list is none of them.
    Equals(Vec<Value>),
    /// A list with one of these values.
    Contains(Vec<Value>),
}

impl ClaimRule {
    /// True if the claim at the path meets the condition.
    pub fn accepts(&self, found: Option<Json<'_>>) -> bool {
        let found = found.filter(|value| !value.is_null());
        match (&self.test, found) {
            (ClaimTest::Absent, found) => found.is_none(),
            (_, None) => false,
            (ClaimTest::Present, Some(_)) => true,
            (
                ClaimTest::AnyOf(accepted) | ClaimTest::Contains(accepted),
                Some(Json::Array(items)),
            ) => items.iter().any(|value| is_one_of(value, accepted)),
            (ClaimTest::Contains(_), Some(_)) => false,
            (ClaimTest::AnyOf(accepted) | ClaimTest::Equals(accepted), Some(value)) => {
                is_one_of(value, accepted)
            }
        }
    }
}

fn is_one_of(value: Json<'_>, accepted: &[Value]) -> bool {
    accepted.iter().any(|accepted| json::is_same(value, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Document {
        Document::of(value.as_object().unwrap())
    }

    #[test]
    fn names_are_shown_and_values_are_not() {
        let shown = format!("{:?}", Claims::new(claims(json!({"sub": "alice"}))));
        assert_eq!(shown, r#"Some({"sub"})"#);
        assert_eq!(ClaimPath::dotted("address.country").to_string(), "address.country");
    }

    // RFC 7519 section 2: "A JSON numeric value representing the number of seconds from
    // 1970-01-01T00:00:00Z UTC until the specified UTC date/time, ignoring leap seconds."
    // (R26)
    #[test]
    fn dates() {
        for (case, value, expected) in [
            ("whole", json!(1_700_000_000), Ok(Some(UnixTime::from_secs(1_700_000_000)))),
            ("fraction", json!(1.5), Ok(Some(UnixTime::from_millis(1500)))),
            ("text", json!("1700000000"), Err(NotADate)),
            ("null", Value::Null, Ok(None)),
            ("boolean", json!(true), Err(NotADate)),
            ("too large", json!(1e300), Err(NotADate)),
        ] {
            assert_eq!(numeric_date(&claims(json!({ "exp": value })), "exp"), expected, "{case}");
        }
        assert_eq!(numeric_date(&serde_json::Map::new(), "exp"), Ok(None), "absent");
    }

    #[test]
    fn folding_changes_nothing() {
        let members = json!({
            "sub": "al\"ice\u{85}é", "exp": 1_700_000_000.5, "n": 18_446_744_073_709_551_615_u64,
            "list": [1, -1, null, {"a": true}], "empty": "",
        });
        let plain = claims(members).members().to_map();
        let compacted = Claims::new(Document::of(&plain));
        for _ in 0..2 {
            compacted.compact(true);
            assert_eq!(compacted.document(None).unwrap().members().to_map(), plain);
        }
    }

    #[test]
    fn claims_stay_in_a_token_that_has_all_of_them() {
        // {"alg":"none"} and {"sub":"alice","a":null}.
        let token = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImEiOm51bGx9.c2ln";
        let members = json!({"sub": "alice"});
        let all = || Claims::whole(claims(members.clone()));
        for (case, own, are_presented, stay) in [
            ("all", all(), true, true),
            ("all of a token that is not presented", all(), false, false),
            ("some", Claims::new(claims(members.clone())), true, false),
        ] {
            assert!(own.bytes() > 0, "{case}");
            own.compact(are_presented);
            let found = |token| Some(Value::Object(own.document(token)?.members().to_map()));
            assert_eq!(found(Some(token)).as_ref(), Some(&members), "{case}");
            assert_eq!(found(None), (!stay).then(|| members.clone()), "{case}");
            assert_eq!(own.bytes(), if stay { 0 } else { r#"{"sub":"alice"}"#.len() }, "{case}");
        }
        let whole = all();
        whole.compact(true);
        for other in [&b""[..], b"e30.e30", b"e30.bnVsbA.c2ln"] {
            assert!(whole.document(Some(other)).is_none(), "{other:?}");
        }
    }

    #[test]
    fn paths() {
        let value = json!({
            "a": {"b": [1], "c": 3, "n": null, "e.f": 4}, "https://acme.example/t": "x", "a.c": 2,
            "a.b": null, "x/y": {"~": 5}, "null": null,
        });
        let members = value.as_object().unwrap();
        for (path, expected) in [
            ("a.b", Some(json!([1]))),
            ("https://acme.example/t", Some(json!("x"))),
            ("a.c", Some(json!(2))),
            ("a.b.c", None),
            ("b", None),
            ("a.n", None),
            ("null", None),
            ("a.e.f", None),
            ("/a/c", Some(json!(3))),
            ("/a.c", Some(json!(2))),
            ("/a/e.f", Some(json!(4))),
            ("/x~1y/~0", Some(json!(5))),
            ("/a/b/0", None),
        ] {
            let found = ClaimPath::parse(path).unwrap();
            assert_eq!(found.find(members).map(Json::to_value), expected, "{path}");
        }
        let listed = |names: &[&str]| {
            ClaimPath::new(names.iter().map(|&name| name.to_owned()).collect()).unwrap()
        };
        let found = |names: &[&str]| listed(names).find(members).map(Json::to_value);
        assert_eq!(found(&["a", "c"]), Some(json!(3)));
        assert_eq!(found(&["a.c"]), Some(json!(2)));
        let malformed = [
            "", "/a~", "/a~2", "$.a", "$['a']", "#/a", "[a, b]", "[\"a\"]", " a", "a ", "a.", ".a",
            "a..b",
        ];
        for malformed in malformed {
            assert_eq!(ClaimPath::parse(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn accepted_values() {
        let any = |value: Value| ClaimTest::AnyOf(vec![value]);
        let (equals, contains) = (ClaimTest::Equals, ClaimTest::Contains);
        for (case, test, found, expected) in [
            ("equal", any(json!("a")), Some(json!("a")), true),
            ("another", any(json!("a")), Some(json!("b")), false),
            ("one of a list", any(json!("a")), Some(json!(["b", "a"])), true),
            ("none of a list", any(json!("a")), Some(json!(["b"])), false),
            ("number is not text", any(json!(1)), Some(json!("1")), false),
            ("a number by its value", any(json!(3)), Some(json!(3.0)), true),
            ("a long number", any(json!(10_u64.pow(18))), Some(json!(1e18)), true),
            ("not there at all", any(json!("a")), None, false),
            ("exactly", equals(vec![json!("a")]), Some(json!("a")), true),
            ("exactly, in a list", equals(vec![json!("a")]), Some(json!(["a"])), false),
            ("in a list", contains(vec![json!("a")]), Some(json!(["b", "a"])), true),
            ("in a list, not by itself", contains(vec![json!("a")]), Some(json!("a")), false),
            ("in a list that is not there", contains(vec![json!("a")]), None, false),
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
            assert_eq!(rule.accepts(found.as_ref().map(Json::from)), expected, "{case}");
        }
    }
}
