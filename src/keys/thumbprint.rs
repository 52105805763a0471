//! Thumbprints of keys (RFC 7638): ids derived from the keys themselves.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The SHA-256 of a key's members in their order; none of them needs an escape.
// RFC 7638 section 3 (R59)
pub(super) fn of_members(members: &[(&'static str, String)]) -> [u8; 32] {
    let members: Vec<_> =
        members.iter().map(|(member, value)| format!(r#""{member}":"{value}""#)).collect();
    Sha256::digest(format!("{{{}}}", members.join(","))).into()
}

/// The thumbprint of an untrusted public key; `None` if members are missing (RFC 7638
/// section 3.2, RFC 8037 section 2), or are not the only encoding of their value: a key
/// would have several thumbprints (RFC 7518 section 6.3.1.1 forbids leading zero bytes).
pub fn jwk_thumbprint(jwk: &Map<String, Value>) -> Option<[u8; 32]> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let is_plain =
        |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let member = |name: &&'static str| {
        let value = jwk.get(*name)?.as_str().filter(is_plain)?;
        if matches!(*name, "n" | "e")
            && BASE64_URL_SAFE_NO_PAD.decode(value).ok()?.first() == Some(&0)
        {
            return None;
        }
        Some((*name, value.to_owned()))
    };
    Some(of_members(&names.iter().map(member).collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The number with a zero byte in front.
    fn zeroed(number: &str) -> String {
        let number = BASE64_URL_SAFE_NO_PAD.decode(number).unwrap();
        BASE64_URL_SAFE_NO_PAD.encode([&[0], &*number].concat())
    }

    #[test]
    fn thumbprints_of_the_standards() {
        let rsa = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        for (case, jwk, expected) in [
            (
                "RFC 7638 section 3.1",
                json!({"kty": "RSA", "n": rsa, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}),
                Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            ),
            (
                "RFC 8037 appendix A.3",
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
                Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            ),
            (
                "RFC 9449 section 6.1",
                json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}),
                Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
            ),
            ("a leading zero byte", json!({"kty": "RSA", "n": zeroed(rsa), "e": "AQAB"}), None),
            ("a leading zero byte of e", json!({"kty": "RSA", "n": rsa, "e": "AAEAAQ"}), None),
            ("a secret", json!({"kty": "oct", "k": "AA"}), None),
            ("no kind", json!({"crv": "P-256"}), None),
            ("half a point", json!({"kty": "EC", "crv": "P-256", "x": "AA"}), None),
            ("what needs an escape", json!({"kty": "OKP", "crv": "Ed25519", "x": "\""}), None),
        ] {
            let found = jwk_thumbprint(jwk.as_object().unwrap());
            let found = found.map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
            assert_eq!(found.as_deref(), expected, "{case}");
        }
    }
}
