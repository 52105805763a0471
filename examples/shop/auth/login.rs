//! Logging in, by a browser or by a program.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{FromRequest, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Form, Json};
use jsonwebtoken::get_current_timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::{ACCOUNTS, Account, Service, TOKEN_SECONDS, cookie};
use crate::stack::page;

#[derive(Deserialize)]
pub struct From {
    return_to: Option<String>,
    /// What [`super::logout`] did.
    out: Option<String>,
}

pub async fn page(Query(from): Query<From>) -> impl IntoResponse {
    let return_to = from.return_to.unwrap_or_default();
    let said = from.out.as_deref().map_or("", super::logout::describe);
    page::Login { return_to: cookie::local_path(&return_to), said, ..Default::default() }.answer()
}

#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    #[serde(default)]
    return_to: String,
}

pub async fn log_in(State(service): State<Arc<Service>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    if kind.starts_with(b"application/x-www-form-urlencoded") {
        match Form::from_request(request, &()).await {
            Ok(Form(credentials)) => service.log_in_browser(&credentials, &headers).await,
            Err(rejection) => rejection.into_response(),
        }
    } else {
        match Json::from_request(request, &()).await {
            Ok(Json(credentials)) => service.log_in_program(&credentials).await,
            Err(rejection) => rejection.into_response(),
        }
    }
}

impl Service {
    async fn log_in_program(&self, credentials: &Credentials) -> Response {
        let Some(account) = self.account(credentials) else {
            let body = json!({"error": "invalid_grant", "error_description": "wrong username or password"});
            return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
        };
        let token = self.issue(account).await;
        let cookie = cookie::set_secure(&token, TOKEN_SECONDS);
        let reply = Json(json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": account.scope,
        }));
        ([(SET_COOKIE, cookie)], reply).into_response()
    }

    async fn log_in_browser(&self, credentials: &Credentials, headers: &HeaderMap) -> Response {
        if !cookie::is_from_own_page(headers) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let return_to = cookie::local_path(&credentials.return_to);
        let Some(account) = self.account(credentials) else {
            let problem = "That user name and password do not go together.";
            let username = &credentials.username;
            return page::Login { return_to, username, problem, said: "" }.answer().into_response();
        };
        let cookie = cookie::set(&self.issue(account).await, TOKEN_SECONDS, headers);
        ([(SET_COOKIE, cookie)], Redirect::to(return_to)).into_response()
    }

    fn account(&self, credentials: &Credentials) -> Option<&'static Account> {
        self.logins.fetch_add(1, Ordering::Relaxed);
        ACCOUNTS.iter().find(|account| {
            account.username == credentials.username && account.password == credentials.password
        })
    }

    /// A token that no revocation before concerns: they count in seconds.
    async fn issue(&self, account: &Account) -> String {
        let not_before = self.revocations.lock().unwrap().not_before(account.username);
        while get_current_timestamp() < not_before {
            sleep(Duration::from_millis(50)).await;
        }
        self.sign(super::ACCESS_TOKEN, &account.claims())
    }
}
