//! What an agent needs to get a token of its own for a user: the metadata of an
//! authorization server (RFC 8414), and the authorization code with PKCE (RFC 7636) for a
//! resource (RFC 8707).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Query, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCESS_TOKEN, Auth, ISSUER, Service, cookie};
use crate::stack::keys;

/// The agent, and where it may be answered.
pub const CLIENT: &str = "agent";
pub const REDIRECT_URI: &str = "http://127.0.0.1/agent/callback";
const TOKEN_SECONDS: u64 = 600;

/// What users agreed to, by code.
pub type Grants = Mutex<BTreeMap<String, Grant>>;

pub struct Grant {
    username: String,
    asked: Authorization,
}

pub async fn metadata() -> Json<Value> {
    Json(json!({
        "issuer": ISSUER,
        "authorization_endpoint": format!("{ISSUER}/authorize"),
        "token_endpoint": format!("{ISSUER}/oauth/token"),
        "jwks_uri": format!("{ISSUER}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["orders"],
    }))
}

#[derive(Deserialize)]
pub struct Authorization {
    client_id: String,
    redirect_uri: String,
    code_challenge: String,
    resource: String,
    scope: String,
}

/// A real one would ask the user; here the button that started the agent was the answer.
pub async fn authorize(
    State(service): State<Arc<Service>>,
    Query(asked): Query<Authorization>,
    headers: HeaderMap,
) -> Response {
    let claims = cookie::token(&headers).and_then(|token| service.verify(token));
    let username = claims.as_ref().and_then(|claims| claims["sub"].as_str());
    let Some(username) = username else { return StatusCode::UNAUTHORIZED.into_response() };
    if asked.client_id != CLIENT || asked.redirect_uri != REDIRECT_URI {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let code = keys::random_text();
    let back = format!("{REDIRECT_URI}?code={code}&iss={ISSUER}");
    let grant = Grant { username: username.to_owned(), asked };
    service.grants.lock().unwrap().insert(code, grant);
    (StatusCode::FOUND, [(LOCATION, back)]).into_response()
}

#[derive(Deserialize)]
pub struct Redemption {
    client_id: String,
    redirect_uri: String,
    code: String,
    code_verifier: String,
    resource: String,
}

/// A token for this resource alone, with no more scopes than the user has.
pub async fn token(
    State(service): State<Arc<Service>>,
    Form(redemption): Form<Redemption>,
) -> Response {
    let grant = service.grants.lock().unwrap().remove(&redemption.code);
    let challenge =
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, redemption.code_verifier.as_bytes()));
    // RFC 6749 section 4.1.3, RFC 7636 section 4.6, RFC 8707 section 2.2
    let grant = grant.filter(|Grant { asked, .. }| {
        asked.client_id == redemption.client_id
            && asked.redirect_uri == redemption.redirect_uri
            && asked.code_challenge == challenge
            && asked.resource == redemption.resource
    });
    let claims = grant.as_ref().and_then(|grant| Auth::claims(&grant.username));
    let (Some(grant), Some(mut claims)) = (grant, claims) else {
        let error = json!({"error": "invalid_grant"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let own = claims["scope"].as_str().unwrap_or_default();
    let is_own = |scope: &&str| own.split(' ').any(|own| own == *scope);
    let scope = grant.asked.scope.split(' ').filter(is_own).collect::<Vec<_>>().join(" ");
    claims["scope"] = json!(scope);
    claims["aud"] = json!(redemption.resource);
    claims["azp"] = json!(CLIENT);
    claims["client_id"] = json!(CLIENT);
    claims["exp"] = json!(claims["iat"].as_u64().unwrap_or(0) + TOKEN_SECONDS);
    Json(json!({
        "access_token": service.sign(ACCESS_TOKEN, &claims),
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": scope,
        "claims": claims,
    }))
    .into_response()
}
