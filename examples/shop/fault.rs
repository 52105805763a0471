//! Ways for a service to fail, switched at run time: `POST /fault` with
//! `{"kind": "slow", "delay_ms": 3000}`; `{"kind": "none"}` mends it.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::time::sleep;

use super::server::HangUp;

/// Larger than the gateway's default `max_reply_bytes`.
const HUGE: usize = 1 << 20;

/// Failures that any service has, whatever it serves.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    #[default]
    None,
    /// Connections end without an answer.
    Down,
    /// The right answer, late.
    Slow {
        #[serde(default = "default_delay")]
        delay_ms: u64,
    },
    /// Another status with a JSON body.
    Status {
        #[serde(default = "default_status")]
        status: u16,
    },
    /// 200 with half a JSON object.
    Malformed,
    /// 200 with no body.
    Empty,
    /// 200 with an HTML page.
    Html,
    /// 200 with a JSON array.
    Array,
    /// 200 with 1 MiB of JSON.
    Huge,
    /// 200 whose connection ends in the middle of the body.
    Truncated,
}

fn default_delay() -> u64 {
    5000
}

fn default_status() -> u16 {
    500
}

impl Fault {
    /// The failing answer, or `None` when the right one is to be given.
    pub async fn answer(self) -> Option<Response> {
        let response = match self {
            Self::None => return None,
            Self::Slow { delay_ms } => {
                sleep(Duration::from_millis(delay_ms)).await;
                return None;
            }
            Self::Down => HangUp.into_response(),
            Self::Status { status } => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (status, json(r#"{"error":"as asked"}"#)).into_response()
            }
            Self::Malformed => json(r#"{"sub":"#),
            Self::Empty => json(""),
            Self::Html => ([(header::CONTENT_TYPE, "text/html")], "<p>Hello").into_response(),
            Self::Array => json("[]"),
            Self::Huge => json(format!(r#"{{"padding":"{}"}}"#, "x".repeat(HUGE))),
            Self::Truncated => json(Body::new(Cut::default())),
        };
        Some(response)
    }
}

fn json(body: impl Into<Body>) -> Response {
    let body = body.into();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The beginning of a body, then an error.
#[derive(Default)]
struct Cut {
    polls: u8,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.polls = self.polls.saturating_add(1);
        match self.polls {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(br#"{"sub":"#))))),
            // Waiting is what makes hyper send the head and the first frame.
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(io::Error::other("cut on purpose")))),
        }
    }
}

/// Which fault a service has at the moment.
#[derive(Debug, Default)]
pub struct Switch<F>(Mutex<F>);

impl<F: Copy> Switch<F> {
    pub fn get(&self) -> F {
        *self.0.lock().unwrap()
    }

    pub fn set(&self, fault: F) {
        *self.0.lock().unwrap() = fault;
    }
}
