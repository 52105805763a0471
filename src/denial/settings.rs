//! The presentation of denials: `errors` in the configuration.

use crate::http::{Authority, RequestHead, percent_decode};

/// The presentation of denials: `errors` in the configuration.
#[derive(Clone, Debug)]
pub struct ErrorSettings {
    /// `realm` of the challenge.
    pub realm: Option<String>,
    /// The form of the body.
    pub format: ErrorFormat,
    /// The login page for browsers without a valid token.
    pub login_redirect: Option<LoginRedirect>,
    /// The algorithms of DPoP proofs, for the challenge; `None` if proofs are not
    /// accepted.
    pub proof_algorithms: Option<String>,
}

impl Default for ErrorSettings {
    fn default() -> Self {
        let realm = Some("gatepass".to_owned());
        Self { realm, format: ErrorFormat::Problem, login_redirect: None, proof_algorithms: None }
    }
}

/// What a challenge tells about the requested resource.
#[derive(Clone, Debug)]
pub struct ResourceHint {
    /// The URL of its metadata.
    pub metadata_url: String,
    /// The initial scopes.
    pub scopes: Vec<String>,
}

/// The form of a denial's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// `{"message": ...}` with the texts of Kong's jwt plugin.
    Kong,
}

/// `errors.login_redirect` in the configuration.
#[derive(Clone, Debug)]
pub struct LoginRedirect {
    /// Path of the login page.
    pub to: String,
    /// Query parameter that takes the path to return to.
    pub return_to_param: String,
}

impl LoginRedirect {
    /// Whether a request is for the login page itself.
    pub(super) fn is_target_of(&self, head: &RequestHead) -> bool {
        let (authority, rest) = match self.to.strip_prefix("https://") {
            Some(url) => url.split_at(url.find(['/', '?']).unwrap_or(url.len())),
            None => ("", self.to.as_str()),
        };
        let path = rest.split('?').next().filter(|path| !path.is_empty()).unwrap_or("/");
        percent_decode(path.as_bytes()) == percent_decode(head.target().path)
            && (authority.is_empty() || is_same_host(authority, head))
    }
}

/// Whether a request is for the host of an https URL.
fn is_same_host(authority: &str, head: &RequestHead) -> bool {
    let (Some(own), Some(asked)) = (Authority::parse(authority.as_bytes()), head.authority())
    else {
        return false;
    };
    // Behind a proxy, a request may have the port of neither.
    own.host.eq_ignore_ascii_case(asked.host)
        && asked.port.is_none_or(|port| port == own.port.unwrap_or(b"443"))
}
