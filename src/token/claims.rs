//! Claims of a token, and paths to them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::compact::claims_of;
use super::scopes::Scopes;
use crate::json::{self, Document, Items, Json, Members};
use crate::time::UnixTime;

/// The members of a JWT claims set or of an introspection reply.
#[derive(Clone)]
pub struct Claims {
    form: RefCell<Form>,
    /// Whether they are all of the token's claims, not only some.
    is_whole: bool,
}

#[derive(Clone)]
enum Form {
    Document(Rc<Document>),
    /// In the token itself, which is cached anyway: parsed again when needed.
    Token(Rc<[u8]>),
    /// As JSON; also parsed again when needed.
    Folded(Box<str>),
}

impl Claims {
    /// These claims, which may be some of those of a token.
    pub fn new(claims: impl Into<Rc<Document>>) -> Self {
        Self { form: RefCell::new(Form::Document(claims.into())), is_whole: false }
    }

    /// The claims of a token as they are in it.
    pub fn whole(claims: impl Into<Rc<Document>>) -> Self {
        Self { is_whole: true, ..Self::new(claims) }
    }

    /// These claims, of a reply or of the gateway's own.
    pub fn of(members: &Map<String, Value>) -> Self {
        Self::new(Document::of(members))
    }

    /// All of them.
    pub fn document(&self) -> Rc<Document> {
        match &*self.form.borrow() {
            Form::Document(document) => Rc::clone(document),
            // Both were parsed or written before, so they are valid.
            Form::Token(token) => Rc::new(claims_of(token).unwrap_or_default()),
            Form::Folded(text) => {
                Rc::new(Document::parse(text.as_bytes().to_vec()).unwrap_or_default())
            }
        }
    }

    /// Whether [`Claims::compact`] can leave them in their token, if it is given the
    /// token.
    pub const fn can_stay_in_token(&self) -> bool {
        self.is_whole
    }

    /// Stores them compactly, for a cached token whose claims the next requests do not
    /// need; not at all, if `token` is a JWT that is cached anyway and has these claims.
    pub fn compact(&self, token: Option<&Rc<[u8]>>) {
        let form = match token.filter(|_| self.is_whole) {
            Some(token) => Form::Token(Rc::clone(token)),
            None => match serde_json::to_string(&self.document().members()) {
                Ok(text) => Form::Folded(text.into()),
                Err(_) => return,
            },
        };
        self.form.replace(form);
    }

    /// The scopes, in the token's order, without duplicates: from `scope` (RFC 8693
    /// section 4.2), else `scp` or `scopes`, as a list or separated by spaces.
    pub fn scopes(&self) -> Scopes {
        let claims = self.document();
        let claim = ["scope", "scp", "scopes"].into_iter().find_map(|name| claims.get(name));
        let text = claim.and_then(Json::as_str).into_iter().flat_map(|text| text.split(' '));
        let items = claim.and_then(Json::as_array).into_iter().flat_map(Items::iter);
        // RFC 6749 section 3.3; a list element with a space in it would become two scopes
        // when it is joined again.
        let is_scope = |word: &&str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        let bytes = claim.map_or(0, Json::text_bytes);
        Scopes::of(text.chain(items.filter_map(Json::as_str)).filter(is_scope), bytes)
    }
}

impl PartialEq for Claims {
    fn eq(&self, other: &Self) -> bool {
        self.document().members().to_map() == other.document().members().to_map()
    }
}

impl fmt::Debug for Claims {
    /// Names only: the values are personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document().fmt(f)
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

/// A claim that should be a NumericDate but is not.
#[derive(Debug, PartialEq, Eq)]
pub struct NotADate;

/// The path to a claim, wherever one is configured.
///
/// Texts with dots are ambiguous, since claims named by a URL hold dots: `a.b` is the
/// member `a.b` if there is one, else the member `b` of `a`. A list of member names and a
/// JSON pointer (RFC 6901) are unambiguous. `null` counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    fn claims(value: Value) -> Claims {
        Claims::of(value.as_object().unwrap())
    }

    #[test]
    fn names_are_shown_and_values_are_not() {
        let shown = format!("{:?}", claims(json!({"sub": "alice"})));
        assert_eq!(shown, r#"{"sub"}"#);
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
            assert_eq!(
                numeric_date(&claims(json!({ "exp": value })).document(), "exp"),
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
        let (plain, compacted) = (claims(members.clone()), claims(members));
        compacted.compact(None);
        compacted.compact(None);
        assert_eq!(compacted, plain);
        assert_eq!(format!("{compacted:?}"), format!("{plain:?}"));
    }

    #[test]
    fn claims_stay_in_their_token_if_they_are_all_of_it() {
        // {"alg":"none"} and {"sub":"alice","a":null}.
        let token: Rc<[u8]> =
            (*b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImEiOm51bGx9.c2ln").into();
        let members = json!({"sub": "alice"}).as_object().unwrap().clone();
        for (is_whole, own) in
            [(true, Claims::whole(Document::of(&members))), (false, Claims::of(&members))]
        {
            own.compact(Some(&token));
            assert_eq!(own, Claims::of(&members));
            assert_eq!(Rc::strong_count(&token), if is_whole { 2 } else { 1 });
        }
        let some = Claims::of(&Map::new());
        some.compact(Some(&token));
        assert!(some.document().members().is_empty(), "what does not count stays out");
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
            assert_eq!(claims(value).scopes().to_vec(), expected, "{case}");
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
