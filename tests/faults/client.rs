//! A client of either protocol, at any address of this machine.

use std::net::Ipv4Addr;
use std::time::Duration;

use axum::body::{self, Body};
use axum::http::{Method, Request, header};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::contract::Protocol;
use crate::wire::Answer;

/// Much longer than the gateway may take.
const TIME_OUT: Duration = Duration::from_secs(20);

/// Sends a request over a connection of its own.
pub async fn send(
    source: Ipv4Addr,
    port: u16,
    protocol: Protocol,
    request: Request<Body>,
) -> Answer {
    let what = format!("{} {} from {source} by {protocol:?}", request.method(), request.uri());
    let exchange = async {
        let socket = TcpSocket::new_v4()?;
        // The usual one needs no search for a port that none of so many others has.
        if source != Ipv4Addr::LOCALHOST {
            socket.bind((source, 0).into())?;
        }
        let stream = TokioIo::new(socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?);
        let response = match protocol {
            Protocol::Http => {
                // nginx passes on as many of a login's as fit.
                let mut builder = http1::Builder::new();
                let (mut sender, connection) = builder.max_headers(400).handshake(stream).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
            Protocol::Grpc => {
                let (mut sender, connection) =
                    http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = body::to_bytes(Body::new(body), usize::MAX).await?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.to_vec(),
        })
    };
    match timeout(TIME_OUT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("{what}: {error}"),
        Err(_) => panic!("{what}: no answer"),
    }
}

/// A browser logs in.
pub fn login(path: &str) -> Request<Body> {
    let request = Request::post(path).header(header::HOST, "shop.example");
    request.body(Body::from("user=alice&password=secret")).expect("a request")
}

/// A transmitter sends an event.
pub fn event(path: &str, token: String) -> Request<Body> {
    let request = Request::post(path).header(header::HOST, "shop.example");
    let request = request.header(header::CONTENT_TYPE, "application/secevent+jwt");
    request.body(Body::from(token)).expect("a request")
}

/// An issuer tells of a logout.
pub fn logout(path: &str, token: &str) -> Request<Body> {
    let request = Request::post(path).header(header::HOST, "shop.example");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    request.body(Body::from(format!("logout_token={token}"))).expect("a request")
}

pub fn request(protocol: Protocol, path: &str, token: Option<&str>) -> Request<Body> {
    let request = match protocol {
        Protocol::Http => Request::get(path).header(header::HOST, "shop.example"),
        Protocol::Grpc => Request::builder()
            .method(Method::POST)
            .uri(format!("http://shop.example{path}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers"),
    };
    let request = match token {
        Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).expect("a request")
}
