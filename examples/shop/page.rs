//! The pages: files of their own, part of the executable.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{Html, IntoResponse};

use super::ports::Ports;

const HOME: &str = include_str!("page/home.html");
const LOGIN: &str = include_str!("page/login.html");
const STYLE: &str = include_str!("page/shop.css");
const SCRIPT: &str = include_str!("page/shop.js");
const ICON: &str = include_str!("page/icon.svg");

pub fn home(ports: Ports) -> impl IntoResponse {
    let backstage = ports.backstage;
    // The same machine has two names.
    let backstages = format!("http://127.0.0.1:{backstage} http://localhost:{backstage}");
    let page = HOME.replace("{backstage}", &backstage.to_string());
    (headers(&format!("connect-src 'self' {backstages}; script-src 'self'")), Html(page))
}

/// The login page: where to go then, and what went wrong before.
pub fn login(return_to: &str, username: &str, problem: Option<&str>) -> impl IntoResponse + use<> {
    let status = if problem.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let page = LOGIN
        .replace("{return_to}", &escaped(return_to))
        .replace("{username}", &escaped(username))
        .replace("{problem}", &escaped(problem.unwrap_or_default()));
    (status, headers("script-src 'none'"), Html(page))
}

pub async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", STYLE)
}

pub async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

pub async fn icon() -> impl IntoResponse {
    asset("image/svg+xml", ICON)
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text)
}

fn headers(policy: &str) -> [(HeaderName, String); 3] {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'; {policy}"
    );
    [
        (CACHE_CONTROL, "no-store".to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
        // Without one, forms would not say that they are ours.
        (REFERRER_POLICY, "same-origin".to_owned()),
    ]
}

/// Text for HTML, attributes included.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
