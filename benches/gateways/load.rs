//! The client: HTTP/1.1 over kept connections, as fast as one thread can.

use std::cell::{Cell, RefCell};
use std::io::{Error, Result};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::process::Cpu;
use crate::stats;

/// One connection to a gateway.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads the whole answer; gives its status.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::other("the gateway hung up"));
            }
            if let Some((status, length)) = parse(&self.buffer)?
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
        }
    }
}

/// Status and whole length of an answer, once its head is there.
fn parse(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(bytes).map_err(Error::other)? else {
        return Ok(None);
    };
    let code = head.code.unwrap_or(0);
    if code == 204 {
        return Ok(Some((code, end)));
    }
    let length =
        head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| str::from_utf8(header.value).ok()?.parse().ok());
    let missing = || Error::other(String::from_utf8_lossy(bytes).into_owned());
    let length: usize = length.ok_or_else(missing)?;
    Ok(Some((code, end + length)))
}

/// The requests for a target: what to send as the n-th.
pub type Requests = Rc<dyn Fn(u64) -> Rc<[u8]>>;

/// `pool` over and over.
pub fn cycle(pool: Vec<Rc<[u8]>>) -> Requests {
    Rc::new(move |n| Rc::clone(&pool[n as usize % pool.len()]))
}

/// Something to be measured.
pub struct Target {
    pub name: String,
    pub port: u16,
    pub requests: Requests,
    /// What each answer must have; anything else ends the run.
    pub status: u16,
    pub cpu: Cpu,
    sent: Cell<u64>,
    idle: RefCell<Vec<Connection>>,
}

/// What one slice showed.
#[derive(Clone, Debug)]
pub struct Slice {
    pub per_second: f64,
    /// Of the worker, microseconds per request.
    pub cpu: f64,
    pub p50: f64,
    pub p99: f64,
}

impl Target {
    pub fn new(
        name: impl Into<String>,
        port: u16,
        requests: Requests,
        status: u16,
        cpu: Cpu,
    ) -> Rc<Self> {
        let (sent, idle) = (Cell::new(0), RefCell::default());
        Rc::new(Self { name: name.into(), port, requests, status, cpu, sent, idle })
    }

    fn next(&self) -> Rc<[u8]> {
        let n = self.sent.get();
        self.sent.set(n + 1);
        (self.requests)(n)
    }

    async fn connection(&self) -> Connection {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(connection) => connection,
            None => Connection::open(self.port).await.expect("the gateway listens"),
        }
    }

    async fn request(&self, connection: &mut Connection) {
        let request = self.next();
        let status = connection.exchange(&request).await;
        let status = status.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(
            status,
            self.status,
            "{}: {}",
            self.name,
            String::from_utf8_lossy(&connection.buffer)
        );
    }

    /// `count` requests over `connections`, each sending its next when the one
    /// before is answered.
    pub async fn closed(self: &Rc<Self>, connections: usize, count: u64) -> Slice {
        let left = Rc::new(Cell::new(count));
        let latencies = Rc::new(RefCell::new(Vec::with_capacity(count as usize)));
        let mut ready = Vec::new();
        for _ in 0..connections {
            ready.push(self.connection().await);
        }
        let (start, cpu) = (Instant::now(), self.cpu.read());
        let mut clients = JoinSet::new();
        for mut connection in ready {
            let (target, left, latencies) =
                (Rc::clone(self), Rc::clone(&left), Rc::clone(&latencies));
            clients.spawn_local(async move {
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    let begun = Instant::now();
                    target.request(&mut connection).await;
                    latencies.borrow_mut().push(micros(begun.elapsed()));
                }
                target.idle.borrow_mut().push(connection);
            });
        }
        clients.join_all().await;
        let latencies = latencies.take();
        self.slice(latencies, start.elapsed(), cpu).await
    }

    /// `count` requests at `rate` a second, at random times as those of many
    /// independent clients are. A request's latency counts from the time it was
    /// due, also when it had to wait for a connection.
    pub async fn open(self: &Rc<Self>, rate: f64, count: u64) -> Slice {
        const CONNECTIONS: usize = 48;
        let (due_now, arrivals) = mpsc::unbounded_channel::<Instant>();
        let arrivals = Rc::new(Mutex::new(arrivals));
        let latencies = Rc::new(RefCell::new(Vec::with_capacity(count as usize)));
        let mut ready = Vec::new();
        for _ in 0..CONNECTIONS {
            ready.push(self.connection().await);
        }
        let (start, cpu) = (Instant::now(), self.cpu.read());
        let mut clients = JoinSet::new();
        for mut connection in ready {
            let (target, arrivals, latencies) =
                (Rc::clone(self), Rc::clone(&arrivals), Rc::clone(&latencies));
            clients.spawn_local(async move {
                loop {
                    let due = arrivals.lock().await.recv().await;
                    let Some(due) = due else { break };
                    target.request(&mut connection).await;
                    latencies.borrow_mut().push(micros(due.elapsed()));
                }
                target.idle.borrow_mut().push(connection);
            });
        }
        let mut due = start;
        for gap in stats::arrivals(rate).take(count as usize) {
            due += gap;
            // tokio's timer knows milliseconds only.
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            due_now.send(due).expect("clients wait for arrivals");
        }
        drop(due_now);
        clients.join_all().await;
        let latencies = latencies.take();
        self.slice(latencies, start.elapsed(), cpu).await
    }

    async fn slice(&self, mut latencies: Vec<f64>, took: Duration, cpu_before: u64) -> Slice {
        let count = latencies.len() as f64;
        // What the worker does after its last answer belongs to the slice.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let cpu = (self.cpu.read() - cpu_before) as f64 / 1000.0 / count;
        latencies.sort_by(f64::total_cmp);
        let percentile = |p: f64| latencies[((count - 1.0) * p) as usize];
        Slice {
            per_second: count / took.as_secs_f64(),
            cpu,
            p50: percentile(0.5),
            p99: percentile(0.99),
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
