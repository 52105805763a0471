//! The client's certificate: that of the connection, or one passed on by a TLS terminator
//! in front.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::http::{HeaderName, RequestHead, percent_decode};
use crate::network::Network;

/// The source of the client's certificate: `binding.mtls` in the configuration.
#[derive(Clone, Debug)]
pub enum CertificateSource {
    /// The host's own connection.
    Connection,
    /// A header, in requests from these addresses only.
    Header {
        /// Its name.
        name: HeaderName,
        /// The trusted peers.
        from: Vec<Network>,
    },
}

/// The digest of the certificate in a header, in the format of Envoy
/// (`x-forwarded-client-cert` with `Hash`), of RFC 9440 (`Client-Cert`), or as escaped
/// PEM (nginx's `$ssl_client_escaped_cert`). `None` for anything else, and for more than
/// one: a client's value may precede the terminator's.
pub(crate) fn forwarded_digest(head: &RequestHead, name: &HeaderName) -> Option<[u8; 32]> {
    let mut values = head.fields().filter(|field| name.is_spelled(field.name));
    let (field, None) = (values.next()?, values.next()) else { return None };
    let text = std::str::from_utf8(field.value).ok()?.trim();
    if let Some(encoded) = text.strip_prefix(':') {
        return of_der(&BASE64_STANDARD.decode(encoded.strip_suffix(':')?).ok()?);
    }
    if text.starts_with("-----BEGIN%20") || text.starts_with("-----BEGIN+") {
        let pem = percent_decode(text.as_bytes()).into_owned();
        return of_pem(std::str::from_utf8(&pem).ok()?);
    }
    let pairs = pairs(text)?;
    let mut digests = pairs.iter().filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case("hash").then_some(value.trim())
    });
    let (digest, None) = (digests.next()?, digests.next()) else { return None };
    of_hex(digest)
}

/// The pairs for one certificate; `None` for a list of several. A quoted value, such as a
/// subject chosen by its owner, may contain anything.
fn pairs(text: &str) -> Option<Vec<&str>> {
    let (mut pairs, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return None,
            b';' if !is_quoted => {
                pairs.push(text.get(start..at)?);
                start = at.checked_add(1)?;
            }
            _ => {}
        }
    }
    pairs.push(text.get(start..)?);
    (!is_quoted).then_some(pairs)
}

/// A SHA-256 in hex, as reported by hosts.
pub fn of_hex(text: &str) -> Option<[u8; 32]> {
    base16ct::mixed::decode_vec(text).ok()?.try_into().ok()
}

fn of_der(der: &[u8]) -> Option<[u8; 32]> {
    (!der.is_empty()).then(|| Sha256::digest(der).into())
}

/// The digest of one certificate in PEM.
pub fn of_pem(pem: &str) -> Option<[u8; 32]> {
    let body = pem.trim().strip_prefix("-----BEGIN CERTIFICATE-----")?;
    let body = body.strip_suffix("-----END CERTIFICATE-----")?;
    let text: String = body.chars().filter(|char| !char.is_ascii_whitespace()).collect();
    of_der(&BASE64_STANDARD.decode(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_certificates() {
        let der = b"a certificate";
        let digest: [u8; 32] = Sha256::digest(der).into();
        let hex = base16ct::lower::encode_string(&digest);
        let base64 = BASE64_STANDARD.encode(der);
        let pem = format!(
            "-----BEGIN%20CERTIFICATE-----%0A{}%0A-----END%20CERTIFICATE-----%0A",
            base64.replace('=', "%3D")
        );
        let name = HeaderName::parse("x-cert").unwrap();
        for (case, values, is_found) in [
            ("Envoy's", vec![format!("Hash={hex};Subject=\"CN=a\"")], true),
            ("Envoy's, with more", vec![format!("By=spiffe://a;Hash={hex};URI=b")], true),
            (
                "Envoy's, with a subject of several parts",
                vec![format!("Hash={hex};Subject=\"CN=a\\\"b,OU=c;Hash=d,O=e\";URI=f")],
                true,
            ),
            ("a digest in a subject", vec![format!("Subject=\"a;Hash={hex}\"")], false),
            ("a quote that does not end", vec![format!("Hash={hex};Subject=\"a")], false),
            ("RFC 9440's", vec![format!(":{base64}:")], true),
            ("nginx's", vec![pem], true),
            ("none", vec![], false),
            ("an empty one", vec![String::new()], false),
            ("two fields", vec![format!("Hash={hex}"), format!("Hash={hex}")], false),
            ("two of a list", vec![format!("Hash={hex},Hash={hex}")], false),
            ("two digests", vec![format!("Hash={hex};Hash={hex}")], false),
            ("a short digest", vec!["Hash=abcd".to_owned()], false),
            ("no base64", vec![":?:".to_owned()], false),
            ("nothing inside", vec!["::".to_owned()], false),
        ] {
            let head = RequestHead::new(values.iter().map(|value| ("x-cert", value)));
            let found = forwarded_digest(&head, &name);
            assert_eq!(found, is_found.then_some(digest), "{case}");
        }
    }
}
