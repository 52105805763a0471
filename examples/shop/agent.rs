//! An agent that has nothing but an address. It finds the issuer from there (RFC 9728, RFC
//! 8414), gets a token for that address and a user, and calls. `examples/mcp` has the same
//! with clients of the Model Context Protocol.

use aws_lc_rs::digest::{SHA256, digest};
use axum::Json;
use axum::extract::State;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{AGENT, ISSUER, REDIRECT_URI};
use super::client::{Client, Reply};
use super::keys;
use super::service::{Service, Trust};

#[derive(Deserialize)]
pub struct Order {
    /// Of the gateway.
    port: u16,
}

/// What it did, step by step.
pub async fn run(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Response {
    let Some(agent) = Agent::new(&service.trust, order.port, &headers) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut steps = Vec::new();
    let outcome = agent.work(&mut steps).await;
    let failed = outcome.err();
    Json(json!({"steps": steps, "failed": failed})).into_response()
}

struct Agent<'a> {
    client: &'a Client,
    /// All that it knows.
    resource: String,
    auth: u16,
    /// Of the browser in which it was started.
    cookie: String,
}

impl<'a> Agent<'a> {
    fn new(trust: &'a Trust, port: u16, headers: &HeaderMap) -> Option<Self> {
        trust.doors.iter().find(|(_, own)| *own == port)?;
        let cookie = headers.get(COOKIE).and_then(|cookie| cookie.to_str().ok());
        Some(Self {
            client: &trust.client,
            resource: format!("http://127.0.0.1:{port}/tools"),
            auth: trust.ports.auth,
            cookie: cookie.unwrap_or_default().to_owned(),
        })
    }

    async fn work(&self, steps: &mut Vec<Value>) -> Result<(), String> {
        let refused = self.get(steps, &self.resource, &[], 401).await?;
        let challenge = refused.header("www-authenticate").to_owned();
        let metadata = between(&challenge, "resource_metadata=\"", "\"")?;
        found(steps, &format!("resource_metadata {metadata}"));

        let metadata: Value = read(&self.get(steps, metadata, &[], 200).await?)?;
        // Anyone can refer to a document; it must be about this resource.
        expect(&metadata["resource"], &self.resource)?;
        let issuer = text(&metadata["authorization_servers"][0])?;
        let scope = text(&metadata["scopes_supported"][0])?;
        found(steps, &format!("issuer {issuer}, scope {scope}"));

        let url = format!("{issuer}/.well-known/oauth-authorization-server");
        let endpoints: Value = read(&self.get(steps, &url, &[], 200).await?)?;
        expect(&endpoints["issuer"], issuer)?;
        found(steps, text(&endpoints["token_endpoint"])?);

        let token = self.token(steps, &endpoints, scope).await?;
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer: Value = read(&self.get(steps, &self.resource, &headers, 200).await?)?;
        let content = &answer["content"];
        let picks = content["recommendations"].as_array().into_iter().flatten();
        let picks: Vec<_> = picks.filter_map(|pick| pick["name"].as_str()).collect();
        let (user, own) = (text(&content["user"])?, text(&content["application"])?);
        found(steps, &format!("as {own} for {user}: {}", picks.join(", ")));
        Ok(())
    }

    /// By an authorization code with PKCE, for this resource.
    async fn token(
        &self,
        steps: &mut Vec<Value>,
        endpoints: &Value,
        scope: &str,
    ) -> Result<String, String> {
        let verifier = keys::random_text() + &keys::random_text();
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let resource = self.resource.as_str();
        let url = format!(
            "{}?response_type=code&client_id={AGENT}&redirect_uri={REDIRECT_URI}&scope={scope}\
             &resource={resource}&code_challenge={challenge}&code_challenge_method=S256",
            text(&endpoints["authorization_endpoint"])?
        );
        // Where a program would open a browser: the button was pressed in one that is logged in.
        let headers = [(COOKIE.as_str(), self.cookie.as_str())];
        let agreed = self.get(steps, &url, &headers, 302).await?;
        let code = between(agreed.header("location"), "code=", "&")?.to_owned();
        found(steps, "a code, by redirect");

        let url = text(&endpoints["token_endpoint"])?;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", AGENT),
            ("redirect_uri", REDIRECT_URI),
            ("code", &code),
            ("code_verifier", &verifier),
            ("resource", resource),
        ];
        let reply = self.client.post_form(&self.resolve(url), &form).await;
        let reply = step(steps, &Method::POST, url, reply.map_err(|error| error.to_string()), 200)?;
        let reply: Value = read(&reply)?;
        found(steps, &format!("a token for {resource}, scope {}", text(&reply["scope"])?));
        text(&reply["access_token"]).map(str::to_owned)
    }

    async fn get(
        &self,
        steps: &mut Vec<Value>,
        url: &str,
        headers: &[(&str, &str)],
        expected: u16,
    ) -> Result<Reply, String> {
        let reply = self.client.get(&self.resolve(url), headers).await;
        step(steps, &Method::GET, url, reply.map_err(|error| error.to_string()), expected)
    }

    /// In the place of DNS and TLS, which the issuer's name has nowhere.
    fn resolve(&self, url: &str) -> String {
        url.replacen(ISSUER, &format!("http://127.0.0.1:{}", self.auth), 1)
    }
}

fn step(
    steps: &mut Vec<Value>,
    method: &Method,
    url: &str,
    reply: Result<Reply, String>,
    expected: u16,
) -> Result<Reply, String> {
    let reply = reply?;
    let status = reply.status.as_u16();
    let shown = url.split('?').next().unwrap_or(url);
    steps.push(json!({"request": format!("{method} {shown}"), "status": status}));
    if status == expected { Ok(reply) } else { Err(format!("not {expected}: {reply}")) }
}

/// What the last step brought.
fn found(steps: &mut [Value], what: &str) {
    if let Some(step) = steps.last_mut() {
        step["found"] = json!(what);
    }
}

fn read(reply: &Reply) -> Result<Value, String> {
    reply.json().map_err(|error| format!("no JSON: {error}"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("no text: {value}"))
}

fn expect(value: &Value, expected: &str) -> Result<(), String> {
    if value == expected { Ok(()) } else { Err(format!("{value} is not {expected}")) }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Result<&'t str, String> {
    let (_, rest) = text.split_once(start).ok_or_else(|| format!("no {start} in {text}"))?;
    Ok(rest.split(end).next().unwrap_or(rest))
}
