//! Calls that differ in their form: gRPC, gRPC-Web, and what a filter makes gRPC of. Their
//! clients read a denial elsewhere, and it is the same one.

use gatepass::http::LocalReply;
use gatepass::verdict::Verdict;
use serde_json::Value;

use super::super::decisions::{UserService, gateway, verdict};
use super::super::support::{START, reply_field};
use super::requests::each;

/// What the client of a call with this content type finds in a reply: the status that it
/// goes by, and the code.
fn as_read(content_type: &str, is_transcoded: bool, reply: &LocalReply) -> Option<(u16, String)> {
    let of_reply = reply_field(reply, "content-type")?;
    let of_grpc = content_type.strip_prefix("application/grpc").filter(|_| !is_transcoded);
    let is_call = |rest: &str| rest.is_empty() || rest.starts_with(['+', '-']);
    if !of_grpc.is_some_and(is_call) {
        // A filter between would translate a reply of gRPC, and this is none.
        let body: Value = serde_json::from_slice(&reply.body).ok()?;
        let is_json = of_reply.contains("json") && reply_field(reply, "grpc-status").is_none();
        return Some((reply.status, body["code"].as_str()?.to_owned())).filter(|_| is_json);
    }
    let end = content_type.find(['+', ';']).unwrap_or(content_type.len());
    let is_own = of_reply.split(['+', ';']).next() == content_type.get(..end);
    if !is_own || !reply.body.is_empty() {
        return None;
    }
    let status = match (reply_field(reply, "grpc-status")?, reply.status) {
        // A client of gRPC-Web takes 200 for success.
        (_, 200) if content_type.starts_with("application/grpc-web") => return None,
        ("16", _) => 401,
        ("7", _) => 403,
        ("14", _) => 503,
        ("3", status) => status,
        _ => return None,
    };
    Some((status, reply_field(reply, "grpc-message")?.to_owned()))
}

const TYPES: [&str; 7] = [
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
    "application/grpcish",
];

#[test]
fn a_denial_is_the_same_in_each_form_of_a_call() {
    let mut denials = 0;
    each("calls", 16, |dice, config, request, seed| {
        let (content_type, is_transcoded) = (dice.pick(&TYPES), dice.chance(3));
        let is_transcoded = is_transcoded && !content_type.contains("-web");
        let decide = |content_type: Option<&str>| {
            let mut sent = request.sent();
            sent.extend(content_type.map(|it| ("content-type".to_owned(), it.to_owned())));
            if is_transcoded && content_type.is_some() {
                sent.push(("x-envoy-original-method".to_owned(), "POST".to_owned()));
            }
            let mut gateway = gateway(config).expect("a configuration");
            verdict(&mut gateway, &UserService::new(seed), &sent, START)
        };
        let found = match (decide(None), decide(Some(content_type))) {
            (Verdict::Deny(_, plain), Verdict::Deny(..)) if plain.status == 302 => return Ok(()),
            (Verdict::Deny(_, plain), Verdict::Deny(_, reply)) => {
                denials += 1;
                let expected = as_read("application/json", false, &plain);
                let found = as_read(content_type, is_transcoded, &reply);
                if expected.is_some() && is_same(expected.as_ref(), found.as_ref()) {
                    return Ok(());
                }
                format!("{expected:?}, {found:?} of {reply:?}")
            }
            (Verdict::Forward(_), Verdict::Forward(_)) => return Ok(()),
            (plain, call) => format!("{plain:?}\n{call:?}"),
        };
        Err(format!("{content_type}, transcoded: {is_transcoded}: {found}"))
    });
    assert!(denials > 20, "{denials} denials");
}

/// A client of gRPC has fewer statuses: of those that say the same, one.
fn is_same(plain: Option<&(u16, String)>, call: Option<&(u16, String)>) -> bool {
    let (Some((plain, code)), Some((call, other))) = (plain, call) else { return false };
    code == other && (plain == call || ![401, 403, 503].contains(plain))
}
