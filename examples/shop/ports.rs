//! The ports of the shop.

use std::net::{Ipv4Addr, TcpListener as StdTcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpListener;

use super::StartError;

/// How many there are.
pub const COUNT: u16 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub listener: u16,
    pub auth: u16,
    pub users: u16,
    pub upstream: u16,
    pub admin: u16,
    pub catalog: u16,
    pub recommendations: u16,
    pub promotions: u16,
    pub reviews: u16,
    pub basket: u16,
    /// The listener without the filter, which is not in `envoy/envoy.yaml`.
    pub backstage: u16,
    /// The listener with the gateway by the other door, if that is built.
    pub other: u16,
}

impl Ports {
    /// Those of `envoy/envoy.yaml`.
    pub const BUNDLED: Self = Self {
        listener: 10000,
        auth: 10001,
        users: 10002,
        upstream: 10003,
        admin: 9901,
        catalog: 10004,
        recommendations: 10005,
        promotions: 10006,
        reviews: 10007,
        basket: 10008,
        backstage: 10009,
        other: 10010,
    };

    /// `first` and those after it.
    pub fn from_first(first: u16) -> Option<Self> {
        first.checked_add(COUNT - 1)?;
        Some(Self::from_all(std::array::from_fn(|index| first + index as u16)))
    }

    /// Some that nobody uses at this moment.
    pub fn free() -> std::io::Result<Self> {
        let bind = |_| StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All are held until all are known, so no two are the same.
        let held = (0..COUNT).map(bind).collect::<Result<Vec<_>, _>>()?;
        let mut ports = [0; COUNT as usize];
        for (port, listener) in ports.iter_mut().zip(&held) {
            *port = listener.local_addr()?.port();
        }
        Ok(Self::from_all(ports))
    }

    /// Some that nobody uses, for a test: below those that the system gives to
    /// clients, which come and go between finding a port free and listening on it.
    /// No other process of tests gets them while this one runs.
    pub fn unused() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        loop {
            let taken = u32::from(NEXT.fetch_add(COUNT, Ordering::Relaxed));
            let offset = (process::id() * 500 + taken) % 20_000;
            let Ok(first) = u16::try_from(12_000 + offset - offset % u32::from(COUNT)) else {
                continue;
            };
            if !claim(first) {
                continue;
            }
            if let Some(ports) = Self::from_first(first).filter(|ports| ports.taken().is_empty()) {
                return ports;
            }
        }
    }

    /// One service in the place of all behind the gateway: it sees every path.
    pub const fn with_one_upstream(self) -> Self {
        Self {
            catalog: self.upstream,
            recommendations: self.upstream,
            promotions: self.upstream,
            reviews: self.upstream,
            basket: self.upstream,
            ..self
        }
    }

    const fn from_all(ports: [u16; COUNT as usize]) -> Self {
        let [
            listener,
            auth,
            users,
            upstream,
            admin,
            catalog,
            recommendations,
            promotions,
            reviews,
            basket,
            backstage,
            other,
        ] = ports;
        Self {
            listener,
            auth,
            users,
            upstream,
            admin,
            catalog,
            recommendations,
            promotions,
            reviews,
            basket,
            backstage,
            other,
        }
    }

    const fn all(self) -> [u16; COUNT as usize] {
        [
            self.listener,
            self.auth,
            self.users,
            self.upstream,
            self.admin,
            self.catalog,
            self.recommendations,
            self.promotions,
            self.reviews,
            self.basket,
            self.backstage,
            self.other,
        ]
    }

    /// Those somebody else uses. Envoy must not be left to find out: it shares
    /// its listening ports with every process that allows it.
    pub fn taken(self) -> Vec<u16> {
        self.all()
            .into_iter()
            .filter(|port| StdTcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
            .collect()
    }

    pub async fn bind(self, port: u16) -> Result<TcpListener, StartError> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .map_err(|_| StartError::PortsTaken(vec![port]))
    }

    /// A configuration with these ports in the places of the bundled ones.
    pub fn render(self, config: &str) -> String {
        // As an address of Envoy's, and in the URL of a resource.
        const MARKS: [&str; 2] = ["port_value: ", "http://127.0.0.1:"];
        MARKS.into_iter().fold(config.to_owned(), |config, mark| self.render_after(mark, &config))
    }

    fn render_after(self, mark: &str, config: &str) -> String {
        let mut parts = config.split(mark);
        let mut rendered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = part.split_at(digits);
            rendered.push_str(mark);
            rendered.push_str(&self.instead_of(port).unwrap_or_else(|| port.to_owned()));
            rendered.push_str(rest);
        }
        rendered
    }

    fn instead_of(self, bundled: &str) -> Option<String> {
        let bundled: u16 = bundled.parse().ok()?;
        let mut pairs = Self::BUNDLED.all().into_iter().zip(self.all());
        let (_, port) = pairs.find(|(from, _)| *from == bundled)?;
        Some(port.to_string())
    }
}

/// Claims a range of ports for this process; false if another one has. The claim is the UDP
/// port of the same number, which no listener of a test needs, kept until the process ends.
fn claim(first: u16) -> bool {
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, first)) {
        Ok(claim) => {
            std::mem::forget(claim);
            true
        }
        // A system without UDP does without claims.
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    }
}
