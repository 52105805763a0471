//! What RFC 7519 and the tests' configuration ask of claims, read by somebody
//! else than the gateway.

use serde_json::Value;

use super::support::START;

/// Whether these are the claims of a token that may be accepted at the start.
pub fn are_acceptable(claims: &Value) -> bool {
    let seconds = |name: &str| claims[name].as_f64();
    let (now, skew) = (START as f64, 60.0);
    let is_ours = |audience: &Value| *audience == "shop-api" || *audience == "shop-web";
    let is_for_us = match &claims["aud"] {
        Value::Array(list) => list.iter().all(Value::is_string) && list.iter().any(is_ours),
        one => is_ours(one),
    };
    claims.is_object()
        && claims["iss"] == "https://auth.example"
        && is_for_us
        && claims["sub"].as_str().is_some_and(|sub| !sub.is_empty() && sub.len() <= 512)
        && seconds("exp").is_some_and(|exp| now < exp && exp < 9.1e15)
        && ["nbf", "iat"].iter().all(|name| {
            claims.get(name).is_none() || seconds(name).is_some_and(|from| now >= from - skew)
        })
        && claims.get("cnf").is_none()
        && ["jti", "sid"]
            .iter()
            .all(|name| claims.get(name).is_none_or(|it| it.is_string() || it.is_null()))
}
