//! Serves a router on a listener until dropped.
//!
//! Not `axum::serve`, because a service under test must be able to end a
//! connection without an answer.

use axum::Router;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// An answer that is none: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

impl IntoResponse for HangUp {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

pub struct Server(JoinHandle<()>);

impl Server {
    pub fn start(listener: TcpListener, router: Router) -> Self {
        Self(tokio::spawn(accept(listener, router)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, router: Router) {
    // Dropped with this task, so that no connection survives its server.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |request| {
            let answer = router.call(request);
            async move {
                let Ok(response) = answer.await;
                match response.extensions().get() {
                    Some(HangUp) => Err(std::io::Error::other("hung up on purpose")),
                    None => Ok(response),
                }
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
