//! URLs of issuers and key sets.

/// The parts of an http or https URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: &'static str,
    /// The host, with the port if there is one.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

impl Url {
    /// `None` if it is no such URL, or one that says more.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://")? {
            (scheme, rest) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            (scheme, rest) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let is_authority = !authority.is_empty() && !authority.contains(['@', ' ', '\\', '{']);
        let path = match path {
            "" => "/".to_owned(),
            path if path.starts_with('?') => format!("/{path}"),
            path => path.to_owned(),
        };
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        (is_authority && is_path).then(|| Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            path,
        })
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }

    /// The port, be it said or not.
    pub(super) fn port(&self) -> &str {
        let default = if self.scheme == "https" { "443" } else { "80" };
        let said = self.authority.rsplit_once(':').map(|(_, port)| port);
        said.filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            .unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (text, expected) in [
            ("https://a.example/x?y=1", Some(("https", "a.example", "a.example", "443", "/x?y=1"))),
            ("HTTP://A.example:8080", Some(("http", "a.example:8080", "a.example", "8080", "/"))),
            ("https://[::1]/x", Some(("https", "[::1]", "[::1]", "443", "/x"))),
            ("a.example/x", None),
            ("https://user@a.example/", None),
            ("https:///x", None),
            ("https://a.example/#x", None),
            ("ftp://a.example/", None),
        ] {
            let url = Url::parse(text);
            let found = url
                .as_ref()
                .map(|it| (it.scheme, it.authority.as_str(), it.host(), it.port(), &*it.path));
            assert_eq!(found, expected, "{text}");
        }
    }
}
