//! What each cell of the matrix sends, and what is wrong with its answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{event, login, logout, request};
use crate::contract::{Cell, Group, Protocol, Service, Visit};
use crate::outcome::Outcome;
use crate::service::{AUDIENCE, SHOP, claims, issued, issuer, now, owner, reference};
use crate::tokens::Signer;
use crate::wire::Answer;

/// The token of a cell's request, for its own user.
fn token(signer: &Signer, cell: Cell) -> Option<String> {
    let name = cell.to_string();
    match (cell.visit, cell.group.service) {
        (Visit::AllowMissingWithout | Visit::Login, _) => None,
        (Visit::Event, _) => Some(event_token(signer, cell.group, &name)),
        (Visit::Logout, _) => Some(logout_token(signer, &name)),
        (_, Service::Introspection) => Some(reference(&name)),
        _ => Some(signer.token(&claims(&name, &issuer(cell.group)))),
    }
}

/// An event that ends a user's session, by the group's own transmitter.
pub fn event_token(signer: &Signer, group: Group, subject: &str) -> String {
    let issuer = if group.service == Service::Forward { SHOP.to_owned() } else { owner(group) };
    let claims = json!({
        "iss": issuer, "aud": AUDIENCE, "iat": now(), "jti": subject,
        "sub_id": {"format": "iss_sub", "iss": SHOP, "sub": subject},
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
    });
    signer.token_with(json!({"typ": "secevent+jwt"}), &claims)
}

fn logout_token(signer: &Signer, subject: &str) -> String {
    let claims = json!({
        "iss": SHOP, "aud": "web", "iat": now(), "jti": subject, "sub": subject,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    signer.token_with(json!({"typ": "logout+jwt"}), &claims)
}

/// A token that a user has had for a minute.
pub fn old_token(signer: &Signer, cell: Cell) -> String {
    let mut claims = claims(&cell.to_string(), SHOP);
    claims["iat"] = json!(now() - 60);
    signer.token(&claims)
}

/// What is sent.
pub struct Sent {
    pub request: Request<Body>,
    /// What nobody may repeat, whole.
    pub secret: Option<String>,
    /// A token, no part of which may be repeated.
    pub token: Option<String>,
}

/// What a cell sends to this path.
pub fn asked(signer: &Signer, cell: Cell, path: &str) -> Sent {
    let token = token(signer, cell);
    let is_opaque = cell.group.service == Service::Introspection;
    let request = match (cell.visit, &token) {
        (Visit::Login, _) => login(&format!("{path}/{cell}")),
        (Visit::Event, Some(token)) => event(path, token.clone()),
        (Visit::Logout, Some(token)) => logout(path, token),
        _ => request(cell.protocol, path, token.as_deref()),
    };
    let secret = match cell.visit {
        Visit::Login => Some(issued(&cell.to_string())),
        _ => token.clone().filter(|_| is_opaque),
    };
    Sent { request, secret, token: token.filter(|_| !is_opaque) }
}

/// Runs something for each cell or group, many at once.
pub async fn for_each<T, F>(
    concurrency: usize,
    all: impl Iterator<Item = T>,
    run: impl Fn(T) -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(concurrency));
    let mut running = JoinSet::new();
    for one in all {
        let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
        let one = run(one);
        running.spawn(async move {
            one.await;
            drop(permit);
        });
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
}

/// What is wrong with a cell's answer, if it has to end like this.
pub fn check(
    cell: Cell,
    answer: &Answer,
    (outcome, clause): (Outcome, &str),
) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{cell}: {what}; {outcome:?} by {clause}: {answer}"));
    let (status, code) = match outcome {
        Outcome::Denied { status, code } => (status, code),
        Outcome::Identified { .. } | Outcome::Anonymous | Outcome::Bypassed
            if answer.status != 200 || answer.header("grpc-status").is_some() =>
        {
            return wrong("denied");
        }
        Outcome::Identified { country } => {
            let seen = answer.seen();
            let subject = cell.to_string();
            if seen.is_anonymous() {
                return wrong("no identity");
            }
            let identity = seen.identity();
            return if identity["sub"] != subject.as_str() {
                wrong("the identity of another")
            } else if identity["country"] != country || seen.values("x-user-country") != [country] {
                wrong("another country")
            } else {
                Ok(())
            };
        }
        Outcome::LoggedIn { status } => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let token = body["access_token"].as_str().unwrap_or("gps_");
            return if answer.status != status || body["code"].is_string() {
                wrong("another reply")
            } else if !token.starts_with("gps_") {
                wrong("a token that is not sealed")
            } else {
                Ok(())
            };
        }
        Outcome::Accepted { status } => {
            let is_so = answer.status == status && answer.body.is_empty();
            return if is_so { Ok(()) } else { wrong("not accepted") };
        }
        Outcome::Again { code } => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let told = body["error_description"].as_str().unwrap_or_default();
            let is_so = answer.status == 400
                && body["error"] == "temporarily_unavailable"
                && told.starts_with(&format!("{code}: "));
            return if is_so { Ok(()) } else { wrong("another error") };
        }
        Outcome::Anonymous | Outcome::Bypassed => {
            let seen = answer.seen();
            let anonymous = seen.values("x-anonymous-consumer");
            let is_marked = anonymous == ["true"];
            return if !seen.is_anonymous() || !seen.values("x-user-country").is_empty() {
                wrong("an identity")
            } else if is_marked != (outcome == Outcome::Anonymous) {
                wrong("marked as anonymous or not")
            } else {
                Ok(())
            };
        }
    };
    match cell.protocol {
        // An event's sender is told in the form of RFC 8935, which has no code.
        Protocol::Http if cell.visit == Visit::Event && status == 503 => {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let is_so = answer.status == status && body["err"] == "temporarily_unavailable";
            if is_so && answer.header("retry-after") == Some("1") {
                Ok(())
            } else {
                wrong("another error")
            }
        }
        Protocol::Http if answer.outcome() != format!("{status} {code}") => {
            wrong("another outcome")
        }
        Protocol::Http if (answer.header("retry-after") == Some("1")) != (status == 503) => {
            wrong("Retry-After")
        }
        Protocol::Grpc
            if answer.status != 200
                || answer.header("grpc-status") != Some(Outcome::grpc_status(status))
                || answer.header("grpc-message") != Some(code) =>
        {
            wrong("another gRPC status")
        }
        _ => Ok(()),
    }
}
