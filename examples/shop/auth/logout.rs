//! Logging out of this browser, or everywhere (OpenID Connect Back-Channel Logout 1.0).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::{ISSUER, Service, TOKEN_SECONDS, cookie};
use crate::stack::keys;

/// `logout_path` in `envoy/envoy.yaml`.
const LOGOUT_PATH: &str = "/.well-known/gatepass/backchannel-logout";

pub async fn here(headers: HeaderMap) -> Response {
    if !cookie::is_from_own_page(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    out(&headers, "/login")
}

/// The access token stays at the gateway, whose identity token says who this is.
pub async fn everywhere(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    if !cookie::is_from_own_page(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let identity = headers.get("x-identity-token").and_then(|value| value.to_str().ok());
    let Some(identity) = identity else { return StatusCode::UNAUTHORIZED.into_response() };
    match service.identities.verify(identity).await {
        Ok(claims) if service.log_out_everywhere(&claims).await => {
            out(&headers, "/login?out=everywhere")
        }
        Ok(_) => out(&headers, "/login?out=soon"),
        Err(reason) => (StatusCode::UNAUTHORIZED, reason).into_response(),
    }
}

fn out(headers: &HeaderMap, to: &str) -> Response {
    ([(SET_COOKIE, cookie::clear(headers))], Redirect::to(to)).into_response()
}

/// What the login page says of it.
pub fn describe(out: &str) -> &'static str {
    match out {
        "everywhere" => {
            "You are logged out everywhere. The auth service sent a logout token to the gateway, \
             and it answered 200: from now on it rejects every token that you had, in any tab, \
             browser or program."
        }
        "soon" => {
            "You are logged out here. The gateway did not accept the logout token; it learns from \
             the auth service's list within a second."
        }
        _ => "",
    }
}

impl Service {
    /// Ends all sessions of the user, and tells every gateway: whether they accept it.
    async fn log_out_everywhere(&self, claims: &Value) -> bool {
        let sub = claims["sub"].as_str().unwrap_or_default();
        // For gateways that start later, and so that no new token is of this second.
        let entry = self.revocations.lock().unwrap().revoke(sub, TOKEN_SECONDS);
        // One time for all: a session that begins in the next second is a new one.
        let now = entry["issued_before"].as_u64().unwrap_or(0).saturating_sub(1);
        let mut accepted = true;
        for url in self.at_gateways(LOGOUT_PATH) {
            let claims = json!({
                "iss": ISSUER,
                "aud": claims["azp"],
                "sub": sub,
                "iat": now,
                "jti": keys::random_text(),
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            });
            let token = self.sign("logout+jwt", &claims);
            let reply = self.client.post_form(&url, &[("logout_token", token.as_str())]).await;
            accepted &= reply.is_ok_and(|reply| reply.status == StatusCode::OK);
        }
        accepted
    }
}
