//! Which rule a path gets: ours, and that of the path which the URL standard's
//! parser resolves to. Where the two differ, a client would get around a rule.

use arbitrary::Unstructured;
use gatepass::http::{RequestHead, percent_decode};
use gatepass::rules::{
    Access, Conditions, Matcher, PathPattern, PathReaders, Requirements, Rule, Rules,
};
use url::Url;

use super::shapes::{below, bytes, one_of};

const PIECES: [&str; 30] = [
    "/", "//", ".", "..", "/../", "/./", "admin", "open", "%61dmin", "%2e", "%2E%2e", "%2f", "%2F",
    "%5c", "\\", ";", "%3b", "#", "%23", "?", "%3f", "%00", "%", "%2", "%zz", "%25", "*", "é",
    "http://x", "@",
];

fn rules() -> Rules {
    let paths = [
        PathPattern::exact("/open/exact"),
        PathPattern::prefix("/admin"),
        PathPattern::prefix("/open"),
        PathPattern::prefix("/open%25/"),
        PathPattern::prefix("/%C3%A9"),
    ];
    let rule = |path: Result<PathPattern, _>| Rule {
        matcher: Matcher { path: Some(path.unwrap()), conditions: Conditions::default() },
        access: Access::Bypass,
        identity: None,
    };
    Rules::new(paths.map(rule).into(), Requirements::default(), PathReaders::default())
}

fn head(path: &[u8]) -> RequestHead {
    let fields = [(":method", &b"GET"[..]), (":path", path)];
    RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.to_vec())))
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let mut path = Vec::new();
    for _ in 0..below(u, 10) {
        match below(u, 8) {
            0 => path.extend(bytes(u, 6)),
            _ => path.extend(one_of(u, &PIECES).as_bytes()),
        }
    }
    if below(u, 4) > 0 {
        path.insert(0, b'/');
    }
    let rules = rules();
    let Ok(found) = rules.find(&head(&path)) else { return };
    let found = found.map(|(position, _)| position);
    if path == b"*" || path.starts_with(b"*?") {
        assert_eq!(found, None);
        return;
    }
    assert!(path.starts_with(b"/"), "no path, and yet not refused");

    // The parser takes text: other bytes as the escapes it would make of them.
    let text: String = path
        .iter()
        .map(|byte| match byte {
            0x80.. => format!("%{byte:02X}"),
            _ => char::from(*byte).to_string(),
        })
        .collect();
    let url = Url::parse(&format!("http://shop.example{text}")).expect("an accepted path parses");
    assert_eq!(url.host_str(), Some("shop.example"), "{text}");
    // In the query it says nothing about the path.
    assert!(url.fragment().is_none() || text.contains('?'), "{text}");
    let resolved = url.path().as_bytes();
    let decoded = percent_decode(resolved);
    let target = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let ours = percent_decode(target);
    assert_eq!(ours, decoded, "{text}: the upstream may serve another path");

    // Matched once more, by segments.
    let segments: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').skip(1).collect();
    let expected = match segments.as_slice() {
        [b"open", b"exact"] => Some(0),
        [b"admin", ..] => Some(1),
        [b"open", ..] => Some(2),
        [b"open%", _, ..] => Some(3),
        [b"\xC3\xA9", ..] => Some(4),
        _ => None,
    };
    assert_eq!(found, expected, "{text}");
}
