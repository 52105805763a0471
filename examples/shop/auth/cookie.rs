//! The cookie in which a browser keeps the public token.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};

/// As `token.from_cookies` in `envoy/envoy.yaml`. The prefix keeps every other
/// host, siblings included, from setting a cookie of that name; browsers take such
/// a cookie only by TLS.
const SECURE_NAME: &str = "__Host-session";
const NAME: &str = "shop_token";

/// For no script, and for no request that another site makes but a link.
pub fn set(token: &str, seconds: u64, headers: &HeaderMap) -> String {
    // Envoy says how the browser came.
    match text(headers, HeaderName::from_static("x-forwarded-proto")) {
        Some("https") => set_secure(token, seconds),
        _ => format!("{NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax"),
    }
}

pub fn set_secure(token: &str, seconds: u64) -> String {
    format!("{SECURE_NAME}={token}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

pub fn clear(headers: &HeaderMap) -> String {
    set("", 0, headers)
}

/// The token, if there is a cookie with one.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = fields.flat_map(|field| field.split(';'));
    cookies.find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        [SECURE_NAME, NAME].contains(&name).then_some(value)
    })
}

/// Whether the form that was sent stood on a page of ours: no other site may
/// log anyone in or out.
pub fn is_from_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = text(headers, ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(headers, HOST)
}

/// A path on this site, never another site.
pub fn local_path(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_local { path } else { "/" }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
