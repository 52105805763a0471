//! The services around the gateway, and the gateway's Envoy.
//!
//! Made for the demo and the end-to-end tests alike: the tests include this
//! file, take the same services on free ports and make them fail.

#![allow(dead_code, reason = "shared; neither the demo nor a test uses all of it")]

pub mod auth;
pub mod client;
pub mod envoy;
pub mod fault;
pub mod keys;
pub mod ports;
pub mod server;
pub mod upstream;
pub mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::auth::Auth;
use self::client::Client;
use self::envoy::Envoy;
use self::ports::Ports;
use self::upstream::Upstream;
use self::users::Users;

pub struct Options {
    pub ports: Ports,
    /// The Envoy to start.
    pub envoy: PathBuf,
    /// The gateway's private key as PKCS#8 PEM; a new one unless given.
    pub signing_key: Option<String>,
    /// A new one unless given.
    pub users_api_key: Option<String>,
}

/// Everything that runs. Dropping it stops it.
pub struct Stack {
    pub auth: Auth,
    pub users: Users,
    pub upstream: Upstream,
    pub envoy: Envoy,
    ports: Ports,
    client: Client,
}

impl Stack {
    /// Starts the services, then Envoy with the bundled configuration.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let ports = options.ports;
        let taken = ports.taken();
        if !taken.is_empty() {
            return Err(StartError::PortsTaken(taken));
        }
        if !envoy::directory().join(envoy::MODULE).exists() {
            return Err(StartError::ModuleMissing);
        }

        let users_api_key = options.users_api_key.unwrap_or_else(keys::random_text);
        let signing_key = options.signing_key.unwrap_or_else(keys::p256_pem);
        let auth = Auth::start(ports.bind(ports.auth).await?);
        let users = Users::start(ports.bind(ports.users).await?, users_api_key.clone());
        let upstream = Upstream::start(ports.bind(ports.upstream).await?, ports.listener);

        let mut envoy = Envoy::start(&envoy::Options {
            executable: &options.envoy,
            config: &envoy::config(ports)?,
            workers: 2,
            environment: &[
                ("GATEPASS_SIGNING_KEY", &signing_key),
                ("USERS_API_KEY", &users_api_key),
            ],
            log: None,
        })?;
        envoy.ready(ports).await?;
        Ok(Self { auth, users, upstream, envoy, ports, client: Client::new() })
    }

    /// Waits until a user could log in and call the upstream, which includes
    /// that the gateway fetched the auth service's keys.
    pub async fn ready(&self) -> Result<(), StartError> {
        let give_up = Instant::now() + Duration::from_secs(15);
        loop {
            let answer = self.log_in_and_call().await;
            match answer {
                Ok(()) => return Ok(()),
                Err(answer) if Instant::now() > give_up => {
                    return Err(StartError::NotServing(answer));
                }
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn log_in_and_call(&self) -> Result<(), String> {
        let gateway = format!("http://127.0.0.1:{}", self.ports.listener);
        let credentials = json!({"username": "alice", "password": "wonderland"});
        let login = self
            .client
            .post(&format!("{gateway}/login"), &credentials)
            .await
            .map_err(|error| error.to_string())?;
        let reply: Value = login.json().map_err(|_| login.to_string())?;
        let token = reply["access_token"].as_str().ok_or_else(|| login.to_string())?;
        let bearer = format!("Bearer {token}");
        let call = self
            .client
            .get(&gateway, &[("authorization", &bearer)])
            .await
            .map_err(|error| error.to_string())?;
        if call.status.is_success() { Ok(()) } else { Err(call.to_string()) }
    }
}

/// Why the demo does not run.
#[derive(Debug)]
pub enum StartError {
    PortsTaken(Vec<u16>),
    ModuleMissing,
    Io(&'static str, PathBuf, std::io::Error),
    EnvoyEnded(ExitStatus),
    EnvoyNotReady,
    NotServing(String),
}

impl StartError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io(what, path, error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortsTaken(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let (noun, verb) = if ports.len() == 1 { ("port", "is") } else { ("ports", "are") };
                write!(
                    f,
                    "{noun} {} {verb} in use; `make run PORT=20000` takes five from 20000 on, \
                     `make run PORT=0` any free ones",
                    ports.join(", ")
                )
            }
            Self::ModuleMissing => {
                write!(f, "{} is missing; `make wasm` builds it", envoy::MODULE)
            }
            Self::Io(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::EnvoyEnded(status) => {
                write!(f, "Envoy ended ({status}); its messages are above")
            }
            Self::EnvoyNotReady => {
                write!(f, "Envoy did not get ready; its messages are above")
            }
            Self::NotServing(answer) => {
                write!(f, "the gateway does not serve alice, it answers: {answer}")
            }
        }
    }
}

impl std::error::Error for StartError {}
