//! Access tokens that are bound to a key of their client (RFC 9449).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header, get_current_timestamp,
};
use serde_json::{Value, json};

use super::{ACCESS_TOKEN, Auth, Service, TOKEN_SECONDS, cookie};

const PROOF_SECONDS: u64 = 60;

/// The user's session in the browser gets a token that scripts may read: it is worth
/// nothing without the key.
pub async fn bind(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    let claims = cookie::token(&headers).and_then(|token| service.verify(token));
    let username = claims.as_ref().and_then(|claims| claims["sub"].as_str());
    let Some(mut claims) = username.and_then(Auth::claims) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let proof = headers.get("dpop").and_then(|value| value.to_str().ok());
    let Some(thumbprint) = proof.and_then(thumbprint) else {
        let error = json!({"error": "invalid_dpop_proof"});
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    claims["cnf"] = json!({"jkt": thumbprint});
    Json(json!({
        "access_token": service.sign(ACCESS_TOKEN, &claims),
        "token_type": "DPoP",
        "expires_in": TOKEN_SECONDS,
        "claims": claims,
    }))
    .into_response()
}

/// The thumbprint of the key with which a good proof for this endpoint was made. Unlike the
/// gateway this service does not remember proofs: each answer is for the same key.
fn thumbprint(proof: &str) -> Option<String> {
    let header = decode_header(proof).ok()?;
    let key = header.jwk.filter(|_| header.typ.as_deref() == Some("dpop+jwt"))?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_aud = false;
    validation.validate_exp = false;
    let decoding = DecodingKey::from_jwk(&key).ok()?;
    let claims = decode::<Value>(proof, &decoding, &validation).ok()?.claims;
    let age = get_current_timestamp().abs_diff(claims["iat"].as_u64()?);
    let is_for_this = claims["htm"] == "POST" && claims["htu"].as_str()?.ends_with("/auth/bind");
    (is_for_this && age <= PROOF_SECONDS).then(|| key.thumbprint(ThumbprintHash::SHA256).ok())?
}
