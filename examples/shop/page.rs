//! The pages: files of their own, part of the executable.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse};

use super::door::Door;
use super::service::Trust;

const HOME: &str = include_str!("page/home.html");
const LOGIN: &str = include_str!("page/login.html");
const STYLE: &str = include_str!("page/shop.css");
const SCRIPT: &str = include_str!("page/shop.js");
const CLIENTS: &str = include_str!("page/clients.js");
const ICON: &str = include_str!("page/icon.svg");

/// The shop's page, as it was asked for at one of the doors.
pub fn home(trust: &Trust, request: &HeaderMap) -> impl IntoResponse {
    let backstage = trust.ports.backstage;
    let host = request.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    // The same machine has two names.
    let name = if name == "localhost" { name } else { "127.0.0.1" };
    let doors: String = [Door::Wasm, Door::Native]
        .into_iter()
        .map(|door| {
            let at = trust.doors.iter().find(|(there, _)| *there == door);
            let label = door.name();
            match at {
                Some((_, own)) if own.to_string() == port => {
                    format!("<span aria-current=\"page\">{label}</span>")
                }
                Some((_, own)) => format!("<a href=\"http://{name}:{own}/\">{label}</a>"),
                None => format!(
                    "<span class=\"absent\">{label}: <code>{}</code>, then start again</span>",
                    door.target()
                ),
            }
        })
        .collect();
    let page = HOME
        .replace("{doors}", &doors)
        .replace("{gateway}", &format!("http://{name}:{}", trust.ports.listener))
        .replace("{backstage}", &backstage.to_string());
    let backstages = format!("http://127.0.0.1:{backstage} http://localhost:{backstage}");
    (headers(&format!("connect-src 'self' {backstages}; script-src 'self'")), Html(page))
}

/// The login page: where to go then, what went wrong before, and what was done.
#[derive(Default)]
pub struct Login<'a> {
    pub return_to: &'a str,
    pub username: &'a str,
    pub problem: &'a str,
    pub said: &'a str,
}

impl Login<'_> {
    pub fn answer(&self) -> impl IntoResponse + use<> {
        let is_wrong = !self.problem.is_empty();
        let status = if is_wrong { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        let page = LOGIN
            .replace("{return_to}", &escaped(self.return_to))
            .replace("{username}", &escaped(self.username))
            .replace("{problem}", &escaped(self.problem))
            .replace("{said}", &escaped(self.said));
        (status, headers("script-src 'none'"), Html(page))
    }
}

pub async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", STYLE)
}

pub async fn script() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

pub async fn clients() -> impl IntoResponse {
    asset("text/javascript; charset=utf-8", CLIENTS)
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
