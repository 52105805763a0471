//! What a client gets of a login's reply, and what passes as a sealed token:
//! nothing in which the token is left, and nothing that was not sealed.

use arbitrary::Unstructured;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::callout::{Answer, CalloutReply};
use gatepass::http::{Fields, LocalReply};
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::shapes::{below, bytes, change, one_of, rarely, value, written};
use super::support::{
    HOSTS, SEAL_KEY, World, alice, awaits, failed, head, head_with, local, seal_keys,
};

const REFERENCE: &str = "opaque-reference-0123456789";
const TEXTS: [&str; 6] = ["Bearer", "", "gps_", "access_token", "two words", "a\r\nb"];
const NAMES: [&str; 6] =
    ["access_token", "id_token", "token_type", "expires_in", "refresh_token", "data"];
const FIELDS: [&str; 9] = [
    "set-cookie",
    "Set-Cookie",
    "location",
    "x-token",
    "content-encoding",
    "connection",
    "cache-control",
    ":status",
    "trailer",
];

pub fn config() -> Value {
    local([
        (
            "/sealed_tokens",
            json!({
                "keys": [SEAL_KEY],
                "logins": [{
                    "match": {"path": "/login", "methods": ["GET", "POST"]}, "service": "auth",
                    "json": ["/access_token", "/data/token"], "cookies": ["shop_token"],
                }],
            }),
        ),
        (
            "/token",
            json!({"from_cookies": ["shop_token"], "from_headers": [
                {"name": "authorization", "value_prefix": "Bearer "}]}),
        ),
    ])
}

/// A token as a service may write it.
fn spelled(u: &mut Unstructured<'_>, token: &str) -> String {
    let token = match below(u, 6) {
        0 => token.replace('.', "%2E"),
        1 => token.bytes().map(|byte| format!("%{byte:02x}")).collect(),
        2 => format!("token-{token}"),
        3 => token.rsplit_once('.').map_or(token, |(start, _)| start).to_owned(),
        _ => token.to_owned(),
    };
    match below(u, 5) {
        0 => format!("https://shop.example/cb?t={token}&x=1"),
        1 => format!("shop_token={token}; Path=/; HttpOnly"),
        2 => format!("theme={token}"),
        3 => format!("\"{token}\""),
        _ => token,
    }
}

/// The text with some of its letters as JSON escapes.
fn escaped(u: &mut Unstructured<'_>, json: &str) -> String {
    let letter = *one_of(u, &['e', 'y', '.', 'o']);
    json.replace(letter, &format!("\\u{:04x}", u32::from(letter)))
}

fn body(u: &mut Unstructured<'_>, token: &str) -> Vec<u8> {
    let mut object = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
    match below(u, 10) {
        8 => return format!("token_type=Bearer&access_token={token}&expires_in=3600").into_bytes(),
        9 => {
            let start = *one_of(u, &[")]}',\n", "while(1);", "\u{feff}", "callback(", "// "]);
            return format!("{start}{object}").into_bytes();
        }
        0 => return bytes(u, 300),
        1 => return value(u, 4, &TEXTS).to_string().into_bytes(),
        2 => return format!("<script>t='{}'</script>", spelled(u, token)).into_bytes(),
        3 => object = json!({"data": {"token": token}, "note": "Welcome."}),
        _ => {}
    }
    change(u, &mut object, &NAMES, &TEXTS);
    while rarely(u, 3) {
        object[*one_of(u, &NAMES)] = match below(u, 3) {
            0 => json!([{ "t": spelled(u, token) }]),
            _ => json!(spelled(u, token)),
        };
    }
    if rarely(u, 4) {
        return escaped(u, &object.to_string()).into_bytes();
    }
    written(u, &object)
}

fn reply(u: &mut Unstructured<'_>, token: &str) -> CalloutReply {
    if rarely(u, 30) {
        return failed();
    }
    let status = match below(u, 5) {
        0 => *one_of(u, &[302, 400, 401, 500, 503, 101, 600]),
        1 => u.arbitrary().unwrap_or(200),
        _ => 200,
    };
    let mut fields = Fields::default();
    if !rarely(u, 4) {
        let types = [
            "application/json",
            "text/html",
            "application/a+json; charset=utf-8",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
        ];
        fields.push("content-type", one_of(u, &types).as_bytes());
    }
    if rarely(u, 6) {
        // Kept in pieces, as frameworks do whose cookies are short.
        let (one, two) = token.split_at(below(u, token.len().min(60) - 1) + 1);
        fields.push("set-cookie", format!("s.0={one}; Path=/").as_bytes());
        fields.push("set-cookie", format!("s.1={two}; Path=/").as_bytes());
    }
    while rarely(u, 3) {
        let value = if rarely(u, 4) { bytes(u, 40) } else { spelled(u, token).into_bytes() };
        let name = *one_of(u, &FIELDS);
        fields.push(name, &value);
    }
    CalloutReply::Answer(Answer { status, cache_control: None, body: body(u, token), fields })
}

/// Everything that a client can read out of a reply: as it is, with what is
/// percent-encoded decoded, and the texts of JSON.
fn readings(reply: &LocalReply) -> Vec<Vec<u8>> {
    fn texts(value: &Value, found: &mut Vec<Vec<u8>>) {
        match value {
            Value::String(text) => found.push(text.clone().into_bytes()),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            Value::Object(members) => {
                for (name, value) in members {
                    found.push(name.clone().into_bytes());
                    texts(value, found);
                }
            }
            _ => {}
        }
    }
    let mut found = vec![reply.body.clone()];
    found.extend(reply.headers.iter().map(|(_, value)| value.clone().into_bytes()));
    // One cookie in several, as their service puts it together again.
    let cookies = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    let values = cookies.filter_map(|(_, field)| Some(field.split(';').next()?.split_once('=')?.1));
    let values: Vec<_> = values.map(|value| value.trim_matches('"')).collect();
    found.extend([values.concat(), values.join(".")].map(String::into_bytes));
    if let Ok(document) = serde_json::from_slice(&reply.body) {
        texts(&document, &mut found);
    }
    let decoded = |text: &Vec<u8>| {
        let mut text = text.as_slice();
        let mut decoded = Vec::new();
        while let [first, rest @ ..] = text {
            let digits = (*first == b'%').then(|| rest.get(..2)).flatten();
            let byte = digits
                .and_then(|digits| str::from_utf8(digits).ok())
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|digits| u8::from_str_radix(digits, 16).ok());
            decoded.push(byte.unwrap_or(*first));
            text = if byte.is_some() { &rest[2..] } else { rest };
        }
        decoded
    };
    let all: Vec<_> = found.iter().map(decoded).collect();
    found.extend(all);
    found
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The sealed tokens in a text.
fn sealed_in(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let is_sealed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    text.split("gps_")
        .skip(1)
        .map(|rest| rest.split(|c| !is_sealed(c)).next().unwrap_or_default())
        // Shorter ones are not of the gateway's making.
        .filter(|rest| rest.len() > 40)
        .map(|rest| format!("gps_{rest}"))
        .collect()
}

fn log_in(u: &mut Unstructured<'_>) {
    let host = *one_of(u, &HOSTS);
    let mut world = World::new(&config(), host);
    let is_reference = rarely(u, 3);
    let token = if is_reference { REFERENCE.to_owned() } else { alice() };
    let (sent, waiting) = awaits(world.begin(head(&[(":path", "/login")])));
    let says = reply(u, &token);
    // Not by `World::land`, which takes what only begins like a token for one.
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &says, now).expect("an awaited flight");
    let step = world.gateway.resume(waiting, &landing, now);
    let Step::Done(Verdict::Deny(_, got) | Verdict::Answer(got), _) = step else {
        panic!("a login is answered: {step:?}")
    };
    let readings = readings(&got);
    let mut sealed: Vec<_> = readings.iter().flat_map(|text| sealed_in(text)).collect();
    sealed.sort_unstable();
    sealed.dedup();
    let open = |sealed: &String| {
        seal_keys(SEAL_KEY).open(sealed.as_bytes()).expect("sealed with its own key")
    };
    // A service may have changed it before.
    let was_sealed = sealed.iter().any(|sealed| open(sealed) == token.as_bytes());
    // Of a JWT no more than its header may be seen, and of what was sealed
    // nothing.
    let payload = token.split('.').nth(1);
    for text in &readings {
        if let Some(payload) = payload {
            let start = token.find(payload).unwrap() + payload.len();
            assert!(!holds(text, &token.as_bytes()[..start]), "left in {got:?}");
        }
        let secret = payload.unwrap_or(&token);
        assert!(
            !was_sealed || !holds(text, secret.as_bytes()),
            "sealed {sealed:?} and left in {got:?}"
        );
    }
    // What is no JSON, and says that it has a token, is not passed on.
    if serde_json::from_slice::<Value>(&got.body).is_err() {
        for name in ["access_token", "\"token"] {
            let said = ["=", "\":\"", "\": \""].map(|sign| format!("{name}{sign}{token}"));
            assert!(!said.iter().any(|it| holds(&got.body, it.as_bytes())), "told in {got:?}");
        }
    }
    for sealed in sealed {
        if open(&sealed) == alice().as_bytes() {
            let step = world.get(&sealed);
            assert!(matches!(step, Step::Done(Verdict::Forward(_), _)), "{step:?}");
        }
    }
    for (name, value) in &got.headers {
        assert!(!value.chars().any(|c| c.is_control() && c != '\t'), "{name}: {value:?}");
    }
}

/// A sealed token that was changed is nobody's.
fn come_back(u: &mut Unstructured<'_>) {
    let mut world = World::new(&config(), *one_of(u, &HOSTS));
    let sealed = seal_keys(SEAL_KEY).seal(alice().as_bytes(), &bytes(u, 8)).unwrap();
    let good = sealed.clone().into_bytes();
    let mut changed = good.clone();
    if rarely(u, 2) {
        // Inside: what the encoding carries.
        let mut inside = BASE64URL.decode(&sealed[4..]).unwrap();
        let at = below(u, inside.len());
        inside[at] ^= u.arbitrary::<u8>().unwrap_or(1);
        inside.truncate(inside.len() - below(u, 3));
        changed = format!("gps_{}", BASE64URL.encode(inside)).into_bytes();
    }
    while rarely(u, 3) {
        let at = below(u, changed.len() + 1);
        match below(u, 4) {
            0 => changed.truncate(at),
            1 => changed.insert(at, *one_of(u, b".=-_ +/\0\xFF")),
            2 => drop(changed.splice(at..at, bytes(u, 8))),
            _ => {
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << below(u, 8);
                }
            }
        }
    }
    // Twice: a sealed token is remembered by its sealed form.
    for token in [&good, &changed, &changed] {
        let value = [b"Bearer ", token.as_slice()].concat();
        match world.begin(head_with(&value)) {
            Step::Done(Verdict::Forward(_), _) => assert_eq!(token.trim_ascii(), good),
            Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                assert_ne!(*token, good, "a good one was refused");
                assert!([400, 401].contains(&reply.status), "{}", reply.status);
            }
            step => panic!("nothing to wait for: {step:?}"),
        }
    }
}

/// The login's path, as some server may read it that is asked for something else.
const LIKE_THE_LOGIN: [&str; 14] = [
    "/login",
    "//login",
    "/login;x",
    "/./login",
    "/x/../login",
    "/login%2F",
    "/login%3f",
    "/%6cogin",
    "/login.",
    "/login%20",
    "/LOGIN",
    "/%2e/login",
    "/login\\",
    "/%256cogin",
];

/// In shadow mode requests go on that would be denied: none that a service may take
/// for a login, whose reply would be seen by nobody.
fn pass_by(u: &mut Unstructured<'_>) {
    let mut config = config();
    config["mode"] = json!("shadow");
    let mut world = World::new(&config, *one_of(u, &HOSTS));
    let path = *one_of(u, &LIKE_THE_LOGIN);
    let query = if rarely(u, 3) { "?a=b" } else { "" };
    let method = *one_of(u, &["GET", "POST", "get", "Post"]);
    let fields =
        [(":method", method), (":path", &format!("{path}{query}")), ("content-length", "2")];
    let fields = &fields[..if method == "GET" { 2 } else { 3 }];
    let step = world.begin(head(fields));
    assert!(!matches!(step, Step::Done(Verdict::Forward(_), _)), "{method} {path}{query} goes on");
    let step = world.begin(head(&[(":path", "/orders")]));
    assert!(matches!(step, Step::Done(Verdict::Forward(_), _)), "shadow mode");
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    match below(u, 5) {
        0 | 1 => come_back(u),
        2 => pass_by(u),
        _ => log_in(u),
    }
}
