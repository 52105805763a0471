//! What a service may see of a request, said once more: fields and bytes in, a verdict out.
//! It shares no code with the gateway and knows the configuration by a table of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::upstream::Arrived;
use super::wire::{Case, Field};

/// What the gateway alone says.
pub const OWNED: [&str; 9] = [
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-authenticated-groups",
    "x-identity-token",
    "x-user-country",
];

/// What may not come after a body: it would be read as if it had come before.
const NO_TRAILERS: [&str; 13] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-mode",
];

/// What Envoy says itself.
const OF_ENVOY: [&str; 10] = [
    "x-forwarded-proto",
    "x-forwarded-for",
    "x-request-id",
    "x-envoy-internal",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "host",
    "content-length",
    "transfer-encoding",
    "te",
];

/// The tokens that are good, and whose.
pub struct People(pub BTreeMap<String, &'static str>);

/// Who asks, by the credentials alone.
#[derive(Debug, PartialEq)]
enum Who {
    Nobody,
    User(&'static str),
    /// Not to be told.
    Unclear,
}

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    NothingWrong,
    User,
    Admin,
}

impl People {
    /// What is wrong with what came of a request.
    pub fn judge(&self, case: &Case, arrived: &Arrived) -> Result<(), String> {
        if let Some(wrong) = &arrived.wrong {
            return Err(wrong.clone());
        }
        if let Some(why) = malformed(case) {
            return Err(format!("it is malformed: {why}"));
        }
        let who = self.who(case);
        let need = need(case, arrived);
        let may = match (need, &who) {
            (Need::Nothing, _)
            | (Need::NothingWrong, Who::Nobody | Who::User(_))
            | (Need::User, Who::User(_)) => true,
            (Need::Admin, Who::User(user)) => *user == "alice",
            _ => false,
        };
        if !may {
            return Err(format!("it takes {need:?}, and who asks is {who:?}"));
        }
        let user = match (need, &who) {
            (Need::Nothing, _) => None,
            (_, Who::User(user)) => Some(*user),
            _ => Some("guest"),
        };
        owned_is(user, arrived)?;
        self.hides_tokens(arrived)?;
        same_request(case, arrived)?;
        trailers_are_harmless(case, arrived)
    }

    fn who(&self, case: &Case) -> Who {
        let mut given = Vec::new();
        let mut has_other = false;
        for field in case.fields.iter().filter(|field| field.is("authorization")) {
            let value = String::from_utf8_lossy(&field.value).into_owned();
            match value.trim().split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    given.push(token.trim().to_owned());
                }
                // Envoy joins an empty one with the next, where it cannot be seen.
                _ => has_other |= !value.trim().is_empty(),
            }
        }
        // Another scheme alone is for whoever asked for it.
        has_other &= !given.is_empty();
        let crumbs: Vec<_> = case.fields.iter().filter(|field| field.is("cookie")).collect();
        for crumb in crumbs.iter().flat_map(|field| field.value.split(|byte| *byte == b';')) {
            let crumb = String::from_utf8_lossy(crumb);
            if let Some(("shop_token" | "__Host-session", token)) = crumb.trim().split_once('=')
                && !token.is_empty()
            {
                given.push(token.to_owned());
            }
        }
        match &given[..] {
            [] => Who::Nobody,
            [token] if !has_other => self.0.get(token).map_or(Who::Unclear, |user| Who::User(user)),
            _ => Who::Unclear,
        }
    }

    fn hides_tokens(&self, arrived: &Arrived) -> Result<(), String> {
        let all = arrived.fields.iter().chain(&arrived.trailers).map(|(_, value)| value.as_slice());
        for value in all.chain([arrived.target.as_bytes(), &arrived.body]) {
            for token in self.0.keys() {
                if value.windows(token.len()).any(|part| part == token.as_bytes()) {
                    return Err("the public token".to_owned());
                }
            }
        }
        Ok(())
    }
}

/// A name as the most careless servers read it.
pub fn variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}

/// Why RFC 9113 section 8 calls the head malformed, so that nothing of it may arrive.
fn malformed(case: &Case) -> Option<String> {
    if case.oddities.iter().any(|oddity| oddity.ends_connection()) {
        return Some("the connection is over".to_owned());
    }
    if let Some(why) = case.fields.iter().find_map(odd_field) {
        return Some(why);
    }
    let is_pseudo = |field: &&Field| field.name.starts_with(b":");
    let first_other = case.fields.iter().position(|field| !is_pseudo(&field));
    let (pseudo, others) = case.fields.split_at(first_other.unwrap_or(case.fields.len()));
    if let Some(field) = others.iter().find(is_pseudo) {
        return Some(format!("{field:?} after other fields"));
    }
    let known = [":method", ":scheme", ":authority", ":path", ":protocol"];
    if let Some(field) = pseudo.iter().find(|field| !known.iter().any(|name| field.is(name))) {
        return Some(format!("{field:?}, which is no field of requests"));
    }
    let value = |name: &str| -> Result<Option<&[u8]>, String> {
        let mut same = pseudo.iter().filter(|field| field.is(name));
        match (same.next(), same.next()) {
            (_, Some(_)) => Err(format!("{name} twice")),
            (first, None) => Ok(first.map(|field| field.value.as_slice())),
        }
    };
    let all: Result<Vec<_>, String> = known.into_iter().map(value).collect();
    let [method, scheme, authority, path, protocol] = all.as_deref().ok()? else { return None };
    let absent = |name: &str| Some(format!("no {name}"));
    match (method, protocol, scheme, path) {
        (None | Some(b""), ..) => absent(":method"),
        (Some(b"CONNECT"), None, None, None) if authority.is_some() => None,
        (Some(b"CONNECT"), None, ..) => Some("CONNECT of a resource".to_owned()),
        (Some(b"CONNECT"), Some(_), _, _) if authority.is_none() => absent(":authority"),
        (Some(method), Some(_), ..) if *method != b"CONNECT" => {
            Some(":protocol without CONNECT".to_owned())
        }
        (_, _, None | Some(b""), _) => absent(":scheme"),
        (_, _, _, None | Some(b"")) => absent(":path"),
        (Some(b"OPTIONS"), _, _, Some(b"*")) => None,
        (.., Some(path)) if !path.starts_with(b"/") => Some(format!("a path of {path:?}")),
        _ => None,
    }
}

/// RFC 9113 section 8.2.
fn odd_field(field: &Field) -> Option<String> {
    let name = field.name.strip_prefix(b":").unwrap_or(&field.name);
    let is_token = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(byte)
    };
    let ends = [field.value.first(), field.value.last()];
    let is_odd = name.is_empty()
        || !name.iter().all(is_token)
        || field.value.iter().any(|byte| b"\r\n\0".contains(byte))
        || (field.name.starts_with(b":")
            && ends.into_iter().flatten().any(|byte| byte.is_ascii_whitespace()));
    let of_connection =
        ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    let is_of_connection = of_connection.iter().any(|name| field.is(name))
        || (field.is("te") && field.value.trim_ascii() != b"trailers")
        || (field.is("content-length") && !field.value.trim_ascii().iter().all(u8::is_ascii_digit));
    (is_odd || is_of_connection).then(|| format!("{field:?}"))
}

/// Why its rest is malformed, so that it may not arrive as a whole.
fn rest_is_malformed(case: &Case) -> Option<String> {
    let pseudo = |field: &&Field| field.name.starts_with(b":");
    let odd = case.trailers.iter().find_map(odd_field);
    odd.or_else(|| case.trailers.iter().find(pseudo).map(|it| format!("{it:?}")))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a request takes, by what arrived of it and the rules of the configuration.
fn need(case: &Case, arrived: &Arrived) -> Need {
    let field = |name: &str| {
        let same = |(other, value): &(String, Vec<u8>)| {
            (variable(other) == name).then(|| text(value).to_lowercase())
        };
        arrived.fields.iter().find_map(same)
    };
    let hosts = arrived.values("host").map(text);
    let is_admin_host = |host: String| {
        let host = host.to_lowercase();
        let host = host.rsplit('@').next().unwrap_or_default();
        host.split([':', '/']).next().unwrap_or_default().trim_end_matches('.') == "admin.example"
    };
    let method = if field("upgrade").is_some() { "GET" } else { &arrived.method };
    let has_body = !case.ends_at_head() || field("content-length").is_some_and(|it| it != "0");
    if method == "OPTIONS"
        && !has_body
        && field("origin").is_some()
        && field("access-control-request-method").is_some()
    {
        return Need::Nothing;
    }
    if hosts.into_iter().any(is_admin_host) || field("x-mode").as_deref() == Some("admin") {
        return Need::Admin;
    }
    let paths = readings(&arrived.target);
    paths.iter().map(|path| need_of(method, path)).max().unwrap_or(Need::Admin)
}

fn need_of(method: &str, path: &str) -> Need {
    let below = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match (method, path) {
        ("GET" | "POST", "/login") | ("POST", "/logout") | ("GET", "/health") => Need::Nothing,
        ("GET", _) if below("/assets") => Need::Nothing,
        _ if below("/admin") => Need::Admin,
        ("GET" | "HEAD", _) if below("/catalog") => Need::NothingWrong,
        _ => Need::User,
    }
}

/// The paths that servers make of a target.
fn readings(target: &str) -> Vec<String> {
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let once = decode(&path);
    let mut all = vec![path, decode(&once), once];
    let more: Vec<_> = all.iter().flat_map(|path| [path.to_lowercase(), plain(path)]).collect();
    all.extend(more);
    all.iter().map(|path| resolve(path)).collect()
}

/// As Windows and Tomcat have it.
fn plain(path: &str) -> String {
    let path = path.to_lowercase().replace('\\', "/");
    let segments = path.split('/').map(|part| part.split(';').next().unwrap_or_default().trim());
    segments.collect::<Vec<_>>().join("/")
}

fn decode(path: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = |bytes: &[u8]| u8::from_str_radix(str::from_utf8(bytes).ok()?, 16).ok();
        let code = if *byte == b'%' { after.get(..2).and_then(hex) } else { None };
        decoded.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    text(&decoded)
}

/// Without empty segments and dots.
fn resolve(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}

/// What the gateway says of this user, `guest` of nobody and nothing else; in any spelling.
pub fn owned_is(user: Option<&str>, arrived: &Arrived) -> Result<(), String> {
    let known: &[(&str, &str)] = match user {
        None => &[],
        Some("guest") => &[("x-anonymous-consumer", "true"), ("x-consumer-username", "guest")],
        Some(user) => &[
            ("x-consumer-custom-id", "web"),
            ("x-consumer-groups", "first-party"),
            ("x-consumer-id", "5c0c1f6e-8a55-4f0a-9d3f-0f6a2b7c9e11"),
            ("x-consumer-username", "web-app"),
            ("x-credential-identifier", "web"),
            ("x-identity-token", user),
            ("x-user-country", if user == "alice" { "ES" } else { "JP" }),
        ],
    };
    let is_owned = |(name, _): &&(String, Vec<u8>)| OWNED.contains(&variable(name).as_str());
    let mut found: Vec<(String, String)> = arrived
        .fields
        .iter()
        .filter(is_owned)
        .map(|(name, value)| {
            let is_identity = name.eq_ignore_ascii_case("x-identity-token");
            (name.to_lowercase(), if is_identity { subject(value) } else { text(value) })
        })
        .collect();
    found.sort();
    let is_same = found.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    if is_same.eq(known.iter().copied()) {
        return Ok(());
    }
    Err(format!("owned fields of {user:?} are {found:?}"))
}

/// Whom an identity token is of; what is none stays as it is.
fn subject(value: &[u8]) -> String {
    let value = text(value);
    let payload = value.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let subject = claims.and_then(|claims| claims["sub"].as_str().map(str::to_owned));
    subject.unwrap_or(value)
}

/// Method, target, host, fields and body are those that were sent.
fn same_request(case: &Case, arrived: &Arrived) -> Result<(), String> {
    let sent = |name: &str| {
        let found = case.fields.iter().find(|field| field.is(name));
        found.map(|field| text(field.value.trim_ascii()))
    };
    let method = sent(":method").unwrap_or_default();
    let protocol = sent(":protocol");
    let is_upgrade = protocol.is_some() && arrived.method == "GET" && method == "CONNECT";
    let is_token = !method.is_empty()
        && method.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
        });
    if !(arrived.method == method || is_upgrade) || !is_token {
        return Err(format!("the method {} of {method:?}", arrived.method));
    }
    let path = sent(":path").unwrap_or_default();
    let split = |target: &str| {
        let target = target.split('#').next().unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        (resolve(&decode(path)), query.to_owned())
    };
    if split(&arrived.target) != split(&path) || !arrived.target.starts_with('/') {
        return Err(format!("the target {} of {path:?}", arrived.target));
    }
    let host = sent(":authority").filter(|it| !it.is_empty()).or_else(|| sent("host"));
    let hosts: Vec<_> = arrived.values("host").map(text).collect();
    if hosts.len() != 1 || hosts.first() != host.as_ref() {
        return Err(format!("hosts {hosts:?} of {host:?}"));
    }
    fields_were_sent(case, arrived, protocol.as_deref())?;
    let body = case.data.concat();
    // Where its length was said, that is its end, whatever comes then.
    let is_all = arrived.is_whole && arrived.values("content-length").next().is_none();
    if is_all && let Some(why) = rest_is_malformed(case) {
        return Err(format!("it is whole and malformed: {why}"));
    }
    if (is_all && arrived.body != body) || !body.starts_with(&arrived.body) {
        return Err(format!("another body: {}", arrived.body.escape_ascii()));
    }
    Ok(())
}

fn fields_were_sent(case: &Case, arrived: &Arrived, protocol: Option<&str>) -> Result<(), String> {
    for (name, value) in &arrived.fields {
        let lower = name.to_lowercase();
        if OWNED.contains(&lower.as_str()) || OF_ENVOY.contains(&lower.as_str()) {
            continue;
        }
        let own = case.fields.iter().filter(|field| field.is(&lower));
        let values: Vec<&[u8]> = own.map(|field| field.value.trim_ascii()).collect();
        let is_same = match lower.as_str() {
            "connection" => protocol.is_some() && value.eq_ignore_ascii_case(b"upgrade"),
            "upgrade" => protocol.map(str::as_bytes) == Some(value),
            // Without the crumb that was a token.
            "cookie" => {
                let sent = values.join(&b"; "[..]);
                let crumbs = |bytes: &[u8]| -> Vec<String> {
                    text(bytes).split(';').map(|crumb| crumb.trim().to_owned()).collect()
                };
                crumbs(value).iter().all(|crumb| crumbs(&sent).contains(crumb))
            }
            _ => values.contains(&value.as_slice()) || values.join(&b","[..]) == *value,
        };
        if !is_same {
            return Err(format!("a field of its own: {name}: {}", value.escape_ascii()));
        }
    }
    Ok(())
}

fn trailers_are_harmless(case: &Case, arrived: &Arrived) -> Result<(), String> {
    for (name, value) in &arrived.trailers {
        let own = |field: &Field| field.is(name) && field.value.trim_ascii() == *value;
        let name = variable(name);
        if !case.trailers.iter().any(own)
            || NO_TRAILERS.contains(&name.as_str())
            || OWNED.contains(&name.as_str())
        {
            return Err(format!("the trailer {name}: {}", value.escape_ascii()));
        }
    }
    Ok(())
}
