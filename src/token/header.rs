//! The JOSE header of a signed token (RFC 7515 section 4).

use serde_json::{Map, Value};

use super::error::{Malformed, TokenError};
use crate::keys::MAX_KEY_ID_BYTES;

/// A header. `alg`, `kid` and `typ` have accessors.
///
/// A token must not bring the key that verifies it (RFC 8725 section 3.10): no key is read
/// from `jku`, `x5u` and `x5c`, and from `jwk` only that of a DPoP proof, which must be the
/// one to which the access token is bound ([`Dpop::check`](crate::binding::Dpop::check)).
// RFC 8725 section 3.10: "blindly following a "jku" (JWK set URL) or "x5u" (X.509 URL)
// header, which may contain an arbitrary URL, could result in server-side request
// forgery (SSRF) attacks" (R12)
pub(super) struct JoseHeader {
    members: Map<String, Value>,
}

impl JoseHeader {
    /// Checks the parameters of a header and refuses what it must not have;
    /// other members that are `null` are absent.
    ///
    /// `crit` and `b64` are refused whatever their value, `null` included, as we
    /// implement no extension (RFC 7515 section 4.1.11, RFC 7797 section 7); so are the
    /// marks of encrypted (`enc`, `zip`) and nested (`cty`) tokens (RFC 7516
    /// section 4.1, RFC 7519 section 5.2).
    pub(super) fn from_members(mut members: Map<String, Value>) -> Result<Self, TokenError> {
        // RFC 7515 section 4.1.11: "If any of the listed extension Header Parameters are
        // not understood and supported by the recipient, then the JWS is invalid." (R10)
        // RFC 7797 section 7 (R11)
        for parameter in ["crit", "b64"] {
            if members.contains_key(parameter) {
                return Err(TokenError::CriticalHeader { parameter });
            }
        }
        for parameter in ["enc", "zip", "cty"] {
            if members.contains_key(parameter) {
                return Err(Malformed::NotPlainlySigned { parameter }.into());
            }
        }
        members.retain(|_, member| !member.is_null());
        string(&members, "alg")?.ok_or(Malformed::Missing { parameter: "alg" })?;
        if string(&members, "kid")?.is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(Malformed::KeyIdTooLong.into());
        }
        string(&members, "typ")?;
        Ok(Self { members })
    }

    /// `alg`, which is always there.
    pub(super) fn algorithm(&self) -> &str {
        self.text("alg").unwrap_or_default()
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.text("kid")
    }

    pub(super) fn typ(&self) -> Option<&str> {
        self.text("typ")
    }

    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.member(name).and_then(Value::as_str)
    }
}

/// A string, if there.
fn string<'a>(
    members: &'a Map<String, Value>,
    parameter: &'static str,
) -> Result<Option<&'a str>, Malformed> {
    match members.get(parameter) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Malformed::NotAString { parameter }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn read(text: &str) -> Result<JoseHeader, TokenError> {
        JoseHeader::from_members(json::parse_whole_object(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_a_header_says() {
        let header = read(r#"{"alg":"RS256","kid":"k/../1","typ":"at+jwt","jku":"https://e"}"#);
        let header = header.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(header.algorithm(), "RS256");
        assert_eq!(header.key_id(), Some("k/../1"));
        assert_eq!(header.typ(), Some("at+jwt"));

        let header = read(r#"{"alg":""}"#).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(header.algorithm(), "");
        assert_eq!(header.key_id(), None);
        assert_eq!(header.typ(), None);
    }

    #[test]
    fn what_a_header_must_not_say() {
        let critical = |parameter| TokenError::CriticalHeader { parameter };
        let string = |parameter| Malformed::NotAString { parameter }.into();
        let plain = |parameter| Malformed::NotPlainlySigned { parameter }.into();
        for (case, text, expected) in [
            ("no algorithm", r"{}", Malformed::Missing { parameter: "alg" }.into()),
            (
                "an algorithm of null",
                r#"{"alg":null}"#,
                Malformed::Missing { parameter: "alg" }.into(),
            ),
            ("algorithms", r#"{"alg":["RS256"]}"#, string("alg")),
            (
                "the algorithm in capitals",
                r#"{"ALG":"RS256"}"#,
                Malformed::Missing { parameter: "alg" }.into(),
            ),
            ("a number as kid", r#"{"alg":"RS256","kid":1}"#, string("kid")),
            ("an object as kid", r#"{"alg":"RS256","kid":{}}"#, string("kid")),
            ("a number as typ", r#"{"alg":"RS256","typ":1}"#, string("typ")),
            ("crit", r#"{"alg":"RS256","crit":["exp"]}"#, critical("crit")),
            ("crit, empty", r#"{"alg":"RS256","crit":[]}"#, critical("crit")),
            ("crit, null", r#"{"alg":"RS256","crit":null}"#, critical("crit")),
            ("b64", r#"{"alg":"RS256","b64":false}"#, critical("b64")),
            ("b64, as ever", r#"{"alg":"RS256","b64":true}"#, critical("b64")),
            ("nested", r#"{"alg":"RS256","cty":"JWT"}"#, plain("cty")),
            ("encrypted", r#"{"alg":"dir","enc":"A128GCM"}"#, plain("enc")),
            ("compressed", r#"{"alg":"RS256","zip":"DEF"}"#, plain("zip")),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{case}");
        }
    }

    #[test]
    fn null_is_absent() {
        let header = read(r#"{"alg":"RS256","kid":null,"typ":null,"x":null}"#).unwrap();
        assert_eq!((header.key_id(), header.typ(), header.member("x")), (None, None, None));
    }

    #[test]
    fn key_ids_are_bounded() {
        let with = |bytes| format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(bytes));
        assert!(read(&with(MAX_KEY_ID_BYTES)).is_ok());
        assert_eq!(read(&with(MAX_KEY_ID_BYTES + 1)).err(), Some(Malformed::KeyIdTooLong.into()));
    }
}
