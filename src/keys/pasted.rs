//! Recognizes common mistakes in place of a key, for helpful messages.

use std::fmt;

/// A common mistake with keys in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pasted {
    /// `\n` as two characters.
    EscapedLineBreaks,
    /// The block on one line.
    OneLine,
    /// `-----END` behind the key, on the same line.
    EndWithinLine,
    /// The key behind `-----BEGIN ...-----`, on the same line.
    BeginWithinLine,
    /// Quotes around it.
    Quoted,
    /// `EC PARAMETERS` before the key.
    EcParameters,
    /// `EC PRIVATE KEY`.
    Sec1,
    /// `RSA PRIVATE KEY`.
    Pkcs1,
    /// A key under a passphrase.
    Encrypted,
    /// `OPENSSH PRIVATE KEY`.
    OpenSsh,
    /// A line of `authorized_keys`.
    OpenSshPublic,
    /// A private key in place of a public one.
    Private,
    /// A public key in place of a private one.
    Public,
    /// A certificate in place of a private key.
    Certificate,
    /// A block with another label.
    OtherLabel,
    /// A block without its end.
    CutShort,
    /// Other text before the block.
    Surrounded,
    /// Base64 of a block.
    Base64,
    /// The base64 of a block without its frame.
    Bare,
    /// The name of a file.
    FileName,
    /// `${NAME}` and the like.
    Placeholder,
}

impl Pasted {
    /// The mistake in a text that is not a usable private key.
    pub(super) fn as_private(text: &str) -> Option<Self> {
        Some(match Self::form(text) {
            Ok("PRIVATE KEY") => return None,
            Ok("EC PARAMETERS") => Self::EcParameters,
            Ok("EC PRIVATE KEY") if !text.contains("ENCRYPTED") => Self::Sec1,
            Ok("RSA PRIVATE KEY") if !text.contains("ENCRYPTED") => Self::Pkcs1,
            Ok("ENCRYPTED PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY") => Self::Encrypted,
            Ok("OPENSSH PRIVATE KEY") => Self::OpenSsh,
            Ok("PUBLIC KEY" | "RSA PUBLIC KEY") => Self::Public,
            Ok("CERTIFICATE") => Self::Certificate,
            Ok(_) => Self::OtherLabel,
            Err(mistake) => mistake?,
        })
    }

    /// The mistake in a text that is not a usable public key.
    pub(super) fn as_public(text: &str) -> Option<Self> {
        Some(match Self::form(text) {
            Ok("PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE") => return None,
            Ok("EC PARAMETERS") => Self::Private,
            Ok(label) if label.ends_with("PRIVATE KEY") => Self::Private,
            Ok(_) => Self::OtherLabel,
            Err(mistake) => mistake?,
        })
    }

    /// The label of a PEM block; otherwise the kind of text, if it is recognized.
    fn form(text: &str) -> Result<&str, Option<Self>> {
        const BEGIN: &str = "-----BEGIN ";
        let text = text.trim();
        let Some((before, block)) = text.split_once(BEGIN) else {
            return Err(Self::without_a_block(text));
        };
        let Some((label, rest)) = block.split_once("-----") else {
            return Err(Some(Self::CutShort));
        };
        Err(Some(match () {
            () if before.starts_with(['"', '\'']) => Self::Quoted,
            () if rest.contains("\\n") => Self::EscapedLineBreaks,
            () if !before.is_empty() => Self::Surrounded,
            () if !rest.contains("-----END") => Self::CutShort,
            () if !rest.trim_end().contains('\n') => Self::OneLine,
            () if !ends_on_its_own_line(rest) => Self::EndWithinLine,
            () if !rest.starts_with(['\n', '\r']) => Self::BeginWithinLine,
            () => return Ok(label),
        }))
    }

    fn without_a_block(text: &str) -> Option<Self> {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=-_\n\r ".contains(c);
        let is_path = text.lines().count() == 1
            && !text.contains(' ')
            && (text.starts_with(['/', '@', '~']) || text.starts_with("./") || ends_as_file(text));
        Some(match () {
            () if ["${", "$(", "{{", "<%"].iter().any(|start| text.starts_with(start)) => {
                Self::Placeholder
            }
            // "-----BEGIN" in base64.
            () if text.starts_with("LS0tLS1C") => Self::Base64,
            // The beginning of a long SEQUENCE, in base64.
            () if text.starts_with("MI") && text.len() > 60 && text.chars().all(is_base64) => {
                Self::Bare
            }
            () if text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") => {
                Self::OpenSshPublic
            }
            () if is_path || text.starts_with("file://") => Self::FileName,
            () => return None,
        })
    }
}

/// Whether `-----END` begins a line.
fn ends_on_its_own_line(rest: &str) -> bool {
    let before = rest.split_once("-----END").map_or(rest, |(before, _)| before);
    before.trim_end_matches([' ', '\t']).ends_with(['\n', '\r'])
}

fn ends_as_file(text: &str) -> bool {
    [".pem", ".key", ".jwk", ".json", ".crt", ".der", ".p8", ".pub"]
        .iter()
        .any(|end| text.ends_with(end))
}

impl fmt::Display for Pasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EscapedLineBreaks => {
                "a PEM block with \\n, as two characters, in the place of line breaks"
            }
            Self::OneLine => "a PEM block that has lost its line breaks",
            Self::EndWithinLine => "a PEM block without a line break before -----END",
            Self::BeginWithinLine => "a PEM block without a line break after its first line",
            Self::Quoted => "a PEM block with quotes around it, which are part of the value",
            Self::EcParameters => {
                "a block \"EC PARAMETERS\" before the key, as openssl ecparam -genkey writes it: \
                 openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 makes a key alone"
            }
            Self::Sec1 => {
                "an \"EC PRIVATE KEY\" (SEC 1): openssl pkcs8 -topk8 -nocrypt makes PKCS#8 of it"
            }
            Self::Pkcs1 => {
                "an \"RSA PRIVATE KEY\" (PKCS#1): openssl pkcs8 -topk8 -nocrypt makes PKCS#8 of it"
            }
            Self::Encrypted => {
                "a private key under a passphrase: openssl pkcs8 -topk8 -nocrypt takes it off"
            }
            Self::OpenSsh => {
                "an \"OPENSSH PRIVATE KEY\": ssh-keygen -p -m PKCS8 -f FILE rewrites it"
            }
            Self::OpenSshPublic => {
                "a public key of OpenSSH: ssh-keygen -e -m PKCS8 -f FILE rewrites it"
            }
            Self::Private => "a private key: openssl pkey -pubout prints its public half",
            Self::Public => "a public key, with which nobody can sign",
            Self::Certificate => "a certificate, which holds no private key",
            Self::OtherLabel => "a PEM block of another kind",
            Self::CutShort => "a PEM block without its end (a value of one line, perhaps)",
            Self::Surrounded => "something before the PEM block",
            Self::Base64 => "base64 of a PEM block: decode it once more",
            Self::Bare => "the inside of a PEM block, without its lines BEGIN and END",
            Self::FileName => "the name of a file, which the filter does not read",
            Self::Placeholder => "a placeholder that was not replaced",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Algorithm, SigningAlgorithm, SigningKey, VerifyingKey};

    const INSIDE: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq4pFO73I4TCXDBnQedC0uBrdlUNVUldM+toWxVOZbVShRANCAAQJ+nlRsqwvtUsnhTkx3u8yV0l+IlTxvoRjo62HKdqmBZzrhNPrRHpO+U1Srzp4PW/xOehl3PdsJ9Oo28t1D1+J";

    fn pem(label: &str) -> String {
        let lines: Vec<_> = INSIDE.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    /// An operator's mistake with a private key, and the message for it.
    #[test]
    fn each_mistake_with_a_private_key_is_named() {
        let key = pem("PRIVATE KEY");
        let cut = key.lines().next().unwrap().to_owned();
        let base64 = {
            use base64::Engine as _;
            base64::prelude::BASE64_STANDARD.encode(&key)
        };
        for (case, text, expected) in [
            ("\\n of a JSON string", key.replace('\n', "\\n"), "with \\n, as two characters"),
            ("line breaks lost", key.replace('\n', " "), "lost its line breaks"),
            ("quotes of a .env file", format!("\"{}\"", key.trim()), "with quotes around it"),
            ("quotes and \\n", format!("'{}'", key.replace('\n', "\\n")), "with quotes around it"),
            ("ecparam -genkey", pem("EC PARAMETERS") + &key, "\"EC PARAMETERS\" before the key"),
            ("SEC 1", pem("EC PRIVATE KEY"), "openssl pkcs8 -topk8 -nocrypt makes"),
            ("PKCS#1", pem("RSA PRIVATE KEY"), "openssl pkcs8 -topk8 -nocrypt makes"),
            ("a passphrase", pem("ENCRYPTED PRIVATE KEY"), "under a passphrase"),
            (
                "an old passphrase",
                pem("RSA PRIVATE KEY").replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1),
                "under a passphrase",
            ),
            ("OpenSSH", pem("OPENSSH PRIVATE KEY"), "ssh-keygen -p -m PKCS8"),
            ("the public half", pem("PUBLIC KEY"), "a public key, with which nobody can sign"),
            ("a certificate", pem("CERTIFICATE"), "a certificate, which holds no private key"),
            ("PGP", pem("PGP PRIVATE KEY BLOCK"), "a PEM block of another kind"),
            ("the first line", cut, "without its end"),
            (
                "the end within a line",
                key.replace("\n-----END", "-----END"),
                "without a line break before -----END",
            ),
            (
                "the key behind the first line",
                key.replacen("-----\n", "-----", 1),
                "without a line break after its first line",
            ),
            ("openssl's comments", format!("Private-Key: (256 bit)\n{key}"), "something before"),
            ("a Secret's data", base64, "base64 of a PEM block: decode it once more"),
            ("no BEGIN", INSIDE.to_owned(), "without its lines BEGIN and END"),
            ("a file", "/run/secrets/key.pem".to_owned(), "the name of a file"),
            ("a file of curl", "@key.pem".to_owned(), "the name of a file"),
            ("a variable", "${GATEPASS_SIGNING_KEY}".to_owned(), "a placeholder"),
            ("a template", "{{ .Values.key }}".to_owned(), "a placeholder"),
            (
                "another word",
                "hunter2".to_owned(),
                "neither a PEM block nor a JWK: it is plain text",
            ),
            ("nothing", " ".to_owned(), "neither a PEM block nor a JWK: it is empty"),
            ("no key inside", key.replace("MIGH", "AAAA"), "not a well-formed private key"),
        ] {
            let error = SigningKey::parse(&text, SigningAlgorithm::Es256).unwrap_err().to_string();
            assert!(error.contains(expected), "{case}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("MIGH"), "{case}: {error}");
        }
        assert!(SigningKey::parse(&key, SigningAlgorithm::Es256).is_ok());
        assert!(SigningKey::parse(&key.replace('\n', "\r\n"), SigningAlgorithm::Es256).is_ok());
    }

    #[test]
    fn each_mistake_with_a_public_key_is_named() {
        let public = pem("PUBLIC KEY");
        for (case, text, expected) in [
            ("the private half", pem("PRIVATE KEY"), "openssl pkey -pubout prints"),
            ("\\n of a JSON string", public.replace('\n', "\\n"), "with \\n, as two characters"),
            ("OpenSSH", "ssh-ed25519 AAAA you@host".to_owned(), "ssh-keygen -e -m PKCS8"),
            ("a file", "./key.pub".to_owned(), "the name of a file"),
            ("no key inside", public, "not a PEM block \"PUBLIC KEY\""),
        ] {
            let error = VerifyingKey::of_pem("k", Algorithm::Es256, &text).unwrap_err().to_string();
            assert!(error.contains(expected), "{case}: {error}");
        }
    }
}
