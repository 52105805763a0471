//! Preflights over HTTP/2, which needs no field for a body: whatever a client sends after
//! one, no service gets it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request as Head;
use hyper::body::Frame;

use crate::nginx::{Caller, Setup};
use crate::protocols::{request, send};

/// A body of unknown length, which comes after the head.
struct Unannounced(Option<&'static str>);

impl hyper::body::Body for Unannounced {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let data = self.0.take().filter(|text| !text.is_empty());
        Poll::Ready(data.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// A service that writes down all bytes that it gets.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<Vec<u8>>>);

impl Service {
    fn start(&self) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::clone(&self.0);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
                let mut buffer = [0; 4096];
                while let Ok(size @ 1..) = stream.read(&mut buffer) {
                    seen.lock().unwrap().extend(&buffer[..size]);
                }
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            }
        });
        port
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

/// The gateway before that service, which gets bodies whole or as they come, and after
/// something that reads the body or not.
fn setup(caller: Caller, port: u16) -> Setup {
    let (access, log) = match caller {
        Caller::Kong => ("stub.access()", "stub.log()"),
        Caller::OpenResty => ("gatepass.access()", "gatepass.log()"),
    };
    let location = |name: &str, more: &str| {
        format!(
            "location /{name} {{
               access_by_lua_block {{ {access} }}
               log_by_lua_block {{ {log} }}
               {more}
               proxy_http_version 1.1;
               proxy_pass http://127.0.0.1:{port};
             }}\n"
        )
    };
    let locations = location("buffered", "")
        + &location("streamed", "proxy_request_buffering off;")
        + &location("read", "rewrite_by_lua_block { ngx.req.read_body() }");
    Setup::bundled().caller(caller).server(&locations)
}

fn options(path: &str, body: &'static str) -> Head<Body> {
    request(path)
        .method("OPTIONS")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "PUT")
        .body(Body::new(Unannounced(Some(body))))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_have_no_body() {
    for caller in [Caller::Kong, Caller::OpenResty] {
        let service = Service::default();
        let nginx = setup(caller, service.start()).start().await;
        nginx.ready().await;
        // The last may reach the service when its client has been answered.
        for (path, outcome) in [("/buffered", 400), ("/read", 401), ("/streamed", 400)] {
            let answer = send(&nginx, options(path, "")).await;
            assert_eq!(answer.status(), 204, "{path}");
            let seen = service.take();
            assert!(seen.starts_with(&format!("OPTIONS {path} ")), "{seen}");
            let answer = send(&nginx, options(path, "a body")).await;
            assert_eq!(answer.status(), outcome, "{path}");
            let seen = service.take();
            assert!(!seen.contains("a body"), "{seen}");
            assert!(seen.is_empty() || path == "/streamed", "{seen}");
        }
        // Anything else has bodies of any length.
        let mut post = options("/buffered", "a body");
        *post.method_mut() = "POST".parse().unwrap();
        let bearer = format!("Bearer {}", nginx.token("alice"));
        post.headers_mut().insert("authorization", bearer.parse().unwrap());
        assert_eq!(send(&nginx, post).await.status(), 204);
        assert!(service.take().ends_with("\r\n\r\na body"));
    }
}
