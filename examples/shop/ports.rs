//! The five ports of the demo.

use std::net::{Ipv4Addr, TcpListener as StdTcpListener};

use tokio::net::TcpListener;

use super::StartError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub listener: u16,
    pub auth: u16,
    pub users: u16,
    pub upstream: u16,
    pub admin: u16,
}

impl Ports {
    /// Those of `envoy/envoy.yaml`.
    pub const BUNDLED: Self =
        Self { listener: 10000, auth: 10001, users: 10002, upstream: 10003, admin: 9901 };

    /// `first` and the four after it.
    pub fn from_first(first: u16) -> Option<Self> {
        Some(Self {
            listener: first,
            auth: first.checked_add(1)?,
            users: first.checked_add(2)?,
            upstream: first.checked_add(3)?,
            admin: first.checked_add(4)?,
        })
    }

    /// Five that nobody uses at this moment.
    pub fn free() -> std::io::Result<Self> {
        let bind = || StdTcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All are held until all are known, so no two are the same.
        let held = [bind()?, bind()?, bind()?, bind()?, bind()?];
        let port = |index: usize| held[index].local_addr().map(|address| address.port());
        Ok(Self {
            listener: port(0)?,
            auth: port(1)?,
            users: port(2)?,
            upstream: port(3)?,
            admin: port(4)?,
        })
    }

    fn all(self) -> [u16; 5] {
        [self.listener, self.auth, self.users, self.upstream, self.admin]
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

    /// The bundled configuration with these ports in the places of its own.
    pub fn render(self, config: &str) -> String {
        const MARK: &str = "port_value: ";
        let mut parts = config.split(MARK);
        let mut rendered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = part.split_at(digits);
            rendered.push_str(MARK);
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
