//! Configurations: bytes, and the complete one with changes, as JSON and as the
//! binary struct that Envoy makes of it.

use arbitrary::Unstructured;
use gatepass::config;
use gatepass::host::RequestId;
use gatepass::pipeline::{Pipeline, Settings, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::Value;

use super::complete::{SECRETS, complete, signing_key};
use super::shapes::{below, bytes, one_of, rarely, value};
use super::support::{HOSTS, START, head};

const TEXTS: [&str; 40] = [
    "",
    "auth",
    "users",
    "shop",
    "alice",
    "/",
    "/x",
    "//x",
    "/users/{sub}",
    "{",
    "https://x",
    "RS256",
    "ES256",
    "EdDSA",
    "HS256",
    "none",
    "identity+jwt",
    "at+jwt",
    "x-identity-token",
    "X_Consumer_Id",
    "authorization",
    "connection",
    "deny",
    "degrade",
    "enforce",
    "shadow",
    "auto",
    "host",
    "module",
    "text",
    "json",
    "sub",
    "iss",
    "env",
    "SIGNING_KEY",
    "NOT_SET",
    "GET",
    "a\r\nb",
    "é",
    "2026-01-01T00:00:00Z",
];

/// Every place in a document.
fn places(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                self::places(value, &format!("{at}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (position, value) in items.iter().enumerate() {
                self::places(value, &format!("{at}/{position}"), places);
            }
        }
        _ => {}
    }
}

fn changed(u: &mut Unstructured<'_>) -> Value {
    let mut document = complete();
    for _ in 0..below(u, 4) {
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let at = one_of(u, &all).clone();
        let slot = document.pointer_mut(&at).unwrap();
        match (below(u, 5), slot) {
            (0, Value::Object(members)) if rarely(u, 2) => {
                let name = members.keys().nth(below(u, members.len())).cloned();
                members.remove(&name.unwrap_or_default());
            }
            (1, Value::Object(members)) => {
                members.insert((*one_of(u, &TEXTS)).to_owned(), value(u, 2, &TEXTS));
            }
            (2, Value::Array(items)) => items.push(value(u, 2, &TEXTS)),
            (_, slot) => *slot = value(u, 2, &TEXTS),
        }
    }
    document
}

fn environment(name: &str) -> Option<String> {
    match name {
        "USERS_API_KEY" => Some(SECRETS[2].to_owned()),
        "SIGNING_KEY" => Some(signing_key().to_string()),
        "SHARED_SECRET" => Some(SECRETS[1].to_owned()),
        _ => None,
    }
}

/// The problems, none of which shows a secret.
fn load(text: &[u8]) -> Result<Settings, Vec<String>> {
    config::load(text, &environment, None).map_err(|problems| {
        let shown = problems.to_string();
        assert!(!shown.chars().any(char::is_control), "one line: {shown:?}");
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(!problems.0.is_empty());
        problems.0.iter().map(|it| format!("{} {} {}", it.path, it.found, it.accepted)).collect()
    })
}

/// Whatever was accepted, nobody gets an identity without a token.
fn serve(settings: Settings, u: &mut Unstructured<'_>) {
    let mut gateway = Pipeline::new(settings, *one_of(u, &HOSTS), [7; 16]);
    let now = UnixTime::from_secs(START);
    for path in ["/orders", "/admin", "/login/x", "/health", "*"] {
        match gateway.begin(
            RequestId::default(),
            head(&[(":path", path), ("x-consumer-id", "forged")]),
            now,
        ) {
            Step::Done(Verdict::Forward(edits), _) => {
                assert!(edits.set().iter().all(|(_, value)| !value.starts_with(b"eyJ")));
                assert!(edits.sanitized().clear.iter().eq(["x-consumer-id"]));
            }
            Step::Done(Verdict::Deny(_, _) | Verdict::Answer(_), _) => {}
            step => panic!("without a token nobody is asked: {step:?}"),
        }
    }
    let _ = gateway.tick(now);
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    if below(u, 4) == 1 {
        let mut text = complete().to_string().into_bytes();
        for _ in 0..below(u, 4) {
            let at = below(u, text.len());
            let new = bytes(u, 4);
            text.splice(at..text.len().min(at + new.len()), new);
        }
        if let Ok(settings) = load(&text) {
            serve(settings, u);
        }
        let rest = bytes(u, 400);
        assert!(load(&rest).is_err(), "noise is no configuration");
        return;
    }
    let document = changed(u);
    let as_json = load(document.to_string().as_bytes());
    if let Ok(settings) = as_json {
        serve(settings, u);
    }
}
