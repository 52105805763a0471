//! Tokens and forged headers anywhere in a head: what is found, and that none of
//! it goes further.

use arbitrary::Unstructured;
use gatepass::bearer::{
    HeaderSource, OriginPolicy, OwnedHeaders, Sanitized, TokenSources, check_form, refuse_repeated,
};
use gatepass::http::{Field, HeaderName, RequestHead};

use super::shapes::{below, bytes, one_of};

const NAMES: [&str; 18] = [
    "authorization",
    "Authorization",
    "AUTHORIZATION",
    "x-token",
    "X_Token",
    "cookie",
    "Cookie",
    "connection",
    "x-consumer-id",
    "X-Consumer-Id",
    "x_consumer_id",
    "X-Consumer_ID",
    "x-identity-token",
    "x-consumer-id ",
    "accept",
    "referer",
    "X-Original-URL",
    ":path",
];
const PIECES: [&str; 26] = [
    "Bearer ",
    "bearer\t",
    "Bearer",
    "Basic ",
    "abc.def.ghi",
    "x",
    ",",
    ";",
    " ",
    "=",
    "session",
    "session=",
    "Session=",
    "access_token",
    "access_token=",
    "access%5ftoken=",
    "access_token%3d",
    "?",
    "&",
    "%26",
    "+",
    "/path",
    "#",
    "close",
    "x-consumer-id",
    "\"",
];

fn noise(u: &mut Unstructured<'_>) -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..below(u, 8) {
        match below(u, 8) {
            0 => value.extend(bytes(u, 6)),
            _ => value.extend(one_of(u, &PIECES).as_bytes()),
        }
    }
    // No host lets these through.
    value.retain(|byte| !b"\r\n\0".contains(byte));
    value
}

fn sources() -> TokenSources {
    TokenSources {
        are_default_params: false,
        carriers: Vec::new(),
        headers: vec![
            HeaderSource { name: HeaderName::authorization(), prefix: "Bearer ".into() },
            HeaderSource { name: HeaderName::parse("x-token").unwrap(), prefix: String::new() },
        ],
        cookies: vec!["session".into()],
        params: vec!["access_token".into()],
        forward: false,
        origins: OriginPolicy { enforce: false, allowed: Vec::new() },
        proofs: None,
    }
}

fn name_of(field: &Field<'_>) -> String {
    String::from_utf8_lossy(field.name).into_owned()
}

/// The head as the upstream gets it.
fn apply(head: &RequestHead, sanitized: &Sanitized) -> RequestHead {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for field in head.fields() {
        let own = name_of(&field);
        let is_cleared = sanitized.clear.iter().any(|name| name.eq_ignore_ascii_case(&own));
        let is_rewritten =
            sanitized.rewrite.iter().any(|(name, _)| name.eq_ignore_ascii_case(&own));
        match &sanitized.path {
            Some(path) if own == ":path" => fields.push((own, path.clone())),
            _ if !is_cleared && !is_rewritten => fields.push((own, field.value.to_vec())),
            _ => {}
        }
    }
    // Setting a header replaces every field of its name: the last one stays.
    for (at, (name, value)) in sanitized.rewrite.iter().enumerate() {
        if !sanitized.rewrite[at + 1..].iter().any(|(later, _)| later == name) {
            fields.push((name.to_string(), value.clone()));
        }
    }
    RequestHead::new(fields)
}

/// The values of a parameter as the URL standard's form parser sees them.
fn form_values(head: &RequestHead, name: &str) -> usize {
    let target = head.first(":path").unwrap_or_default();
    let query = target.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
    url::form_urlencoded::parse(query).filter(|(found, _)| found == name).count()
}

fn is_session(pair: &[u8]) -> bool {
    pair.split(|byte| *byte == b'=').next().is_some_and(|name| name.trim_ascii() == b"session")
}

/// The values of a cookie, read as RFC 6265 section 5.4 lets a server do.
fn cookies(head: &RequestHead, name: &str) -> usize {
    let pairs = head.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    pairs
        .filter(|pair| {
            let found = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            found.trim_ascii() == name.as_bytes() && pair.contains(&b'=')
        })
        .count()
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let mut fields = Vec::new();
    for _ in 0..below(u, 6) {
        fields.push(((*one_of(u, &NAMES)).to_owned(), noise(u)));
    }
    // A request has one target.
    let mut has_target = false;
    fields.retain(|(name, _)| name != ":path" || !std::mem::replace(&mut has_target, true));
    let head = RequestHead::new(fields);
    let sources = sources();
    let names = ["x-consumer-id", "x-identity-token"];
    let owned = OwnedHeaders::new(names.map(|name| HeaderName::parse(name).unwrap()));

    if let Ok(Some(token)) = sources.find(&head, false, &|_| false)
        && check_form(&token).is_ok()
    {
        let is_token_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b);
        assert!(!token.is_empty() && token.iter().all(is_token_byte), "{token:?}");
        // An empty cookie is none.
        let value = |pair: &[u8]| pair.iter().position(|byte| *byte == b'=').map(|at| at + 1);
        let is_empty =
            |pair: &[u8]| value(pair).is_some_and(|at| pair[at..].trim_ascii().is_empty());
        let pairs = head.values("cookie").flat_map(|value| value.split(|byte| *byte == b';'));
        let empty = pairs.filter(|pair| is_session(pair) && is_empty(pair)).count();
        assert!(
            form_values(&head, "access_token") + cookies(&head, "session") - empty <= 1,
            "of several tokens one was taken"
        );
    }

    let mut sanitized = Sanitized::default();
    let cleansed_of = owned
        .sanitize(&head, &mut sanitized)
        .and_then(|()| sources.sanitize(&head, &mut sanitized));
    if cleansed_of.is_err() {
        return;
    }
    let _ = refuse_repeated(&head, &sanitized);
    let upstream = apply(&head, &sanitized);
    assert!(
        matches!(sources.find(&upstream, false, &|_| false), Ok(None)),
        "a token goes on: {upstream:?}"
    );
    assert_eq!(form_values(&upstream, "access_token"), 0, "{:?}", upstream.first(":path"));
    assert_eq!(cookies(&upstream, "session"), 0);
    let fold =
        |name: &str| name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    for field in upstream.fields() {
        let name = name_of(&field);
        assert!(!names.contains(&fold(&name).as_str()), "{name} goes on");
        // A URL in another field has the query of this one, or one like it.
        if name.eq_ignore_ascii_case("referer") {
            let url = String::from_utf8_lossy(field.value);
            let query = url.split('#').next().and_then(|url| url.split_once('?'));
            let mut pairs = query.into_iter().flat_map(|(_, query)| query.split('&'));
            assert!(!pairs.any(|pair| pair.starts_with("access_token=")), "{url} goes on");
        }
        if name.eq_ignore_ascii_case("connection") {
            let options = field.value.split(|byte| *byte == b',');
            for option in options.filter_map(|option| std::str::from_utf8(option).ok()) {
                assert!(!names.contains(&fold(option.trim()).as_str()), "Connection: {option}");
            }
        }
    }
}
