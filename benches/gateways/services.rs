//! The services around a gateway: upstream, user info, and what does the
//! enrichment where jwt_authn is used. All on the client's thread, and as cheap
//! as they can be: only the gateways shall differ.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Where they listen.
#[derive(Clone, Copy)]
pub struct Ports {
    pub upstream: u16,
    pub users: u16,
    pub enrichment: u16,
    pub echo: u16,
}

pub type Headers<'a> = httparse::Request<'a, 'a>;

pub struct Reply {
    after: Duration,
    bytes: Rc<[u8]>,
}

impl Reply {
    pub fn new(headers: &[(&str, &str)], body: &str) -> Self {
        let mut text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n".to_owned();
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n{body}", body.len());
        Self { after: Duration::ZERO, bytes: text.into_bytes().into() }
    }
}

/// What the upstream got last.
pub type Seen = Rc<RefCell<Vec<(String, String)>>>;

/// Starts all of them, for as long as the process runs.
pub async fn start() -> (Ports, Seen) {
    let seen = Seen::default();
    let (noted, orders) =
        (Rc::clone(&seen), Reply::new(&[], &json!({"orders": [1, 2, 3]}).to_string()));
    let upstream = serve(move |request| {
        // A plain copy of the head would cost more than the rest.
        if request.headers.iter().any(|header| header.name == "x-note") {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = request.headers.iter();
            *noted.borrow_mut() = headers
                .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                .collect();
        }
        Reply { after: Duration::ZERO, bytes: Rc::clone(&orders.bytes) }
    });
    let ports = Ports {
        upstream: upstream.await,
        users: serve(user).await,
        enrichment: serve(enrich()).await,
        echo: echo().await,
    };
    (ports, seen)
}

/// `GET /users/{sub}`; a subject `slow-<ms>-...` is answered after that time.
pub fn user(request: &Headers<'_>) -> Reply {
    let subject = request.path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let mut slow = subject.split('-').skip_while(|part| *part != "slow").skip(1);
    let delay = slow.next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let body = json!({
        "sub": subject, "type": "premium", "preferred_username": subject,
        "address": {"country": "ES", "city": "Madrid"}, "created": "2024-05-01T10:00:00Z",
    });
    Reply { after: Duration::from_millis(delay), ..Reply::new(&[], &body.to_string()) }
}

/// Answers ext_authz with the headers for the user of the payload that
/// jwt_authn forwards; made once for each, so a request costs a look-up.
fn enrich() -> impl Fn(&Headers<'_>) -> Reply {
    let known: RefCell<HashMap<Vec<u8>, Rc<[u8]>>> = RefCell::default();
    move |request| {
        let payload = request.headers.iter().find(|header| header.name == "x-jwt-payload");
        let payload = payload.map(|header| header.value).unwrap_or_default();
        let mut known = known.borrow_mut();
        let bytes = known.entry(payload.to_vec()).or_insert_with(|| {
            let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
            let claims: Value = serde_json::from_slice(&claims).expect("jwt_authn forwards claims");
            let text = |name: &str| claims[name].as_str().unwrap_or_default();
            // As long as an identity token is; nobody here verifies it.
            let token = "e".repeat(600);
            let headers = [
                ("x-identity-token", token.as_str()),
                ("x-consumer-username", text("sub")),
                ("x-consumer-custom-id", text("sub")),
                ("x-credential-identifier", text("sub")),
                ("x-user-country", "ES"),
            ];
            Reply::new(&headers, "").bytes
        });
        Reply { after: Duration::ZERO, bytes: Rc::clone(bytes) }
    }
}

pub async fn serve(answer: impl Fn(&Headers<'_>) -> Reply + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let answer = Rc::new(answer);
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn_local(connection(stream, Rc::clone(&answer)));
        }
    });
    port
}

/// Requests without bodies, one after the other.
async fn connection(mut stream: TcpStream, answer: Rc<impl Fn(&Headers<'_>) -> Reply>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut buffer).await {
            Ok(1..) => {}
            _ => return,
        }
        let (end, reply) = {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(&buffer).expect("gateways speak HTTP");
            let httparse::Status::Complete(end) = parsed else { continue };
            (end, answer(&request))
        };
        buffer.drain(..end);
        if !reply.after.is_zero() {
            tokio::time::sleep(reply.after).await;
        }
        if stream.write_all(&reply.bytes).await.is_err() {
            return;
        }
    }
}

/// A page that shows what was sent to it, as careless login pages do: as often as it fits
/// into a reply of 256 KiB.
async fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawn_local(async move {
                let mut buffer = Vec::with_capacity(65_536);
                while let Ok(1..) = stream.read_buf(&mut buffer).await {
                    let Some((end, length)) = lengths(&buffer) else { continue };
                    if buffer.len() < end + length {
                        continue;
                    }
                    let times = 262_144_usize.checked_div(length).unwrap_or_default();
                    let page = buffer[end..end + length].repeat(times);
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
                        page.len(),
                    );
                    let page = [head.as_bytes(), &page].concat();
                    buffer.drain(..end + length);
                    if stream.write_all(&page).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Of a request's head, once it is there, and of the body behind it.
fn lengths(request: &[u8]) -> Option<(usize, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(request).expect("gateways speak HTTP");
    let httparse::Status::Complete(end) = parsed else { return None };
    let length = head.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|it| str::from_utf8(it.value).ok()?.parse().ok());
    Some((end, length.unwrap_or(0)))
}
