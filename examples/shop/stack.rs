//! The services around the gateway, and the gateway's Envoy.
//!
//! Made for the shop and the end-to-end tests alike: the tests include this
//! file, take the same services on free ports and make them fail.

#![allow(dead_code, reason = "shared; neither the shop nor a test uses all of it")]

pub mod agent;
pub mod auth;
pub mod basket;
pub mod catalog;
pub mod client;
pub mod door;
pub mod envoy;
pub mod fault;
pub mod keys;
pub mod page;
pub mod ports;
pub mod promotions;
pub mod recommendations;
pub mod reviews;
pub mod script;
pub mod server;
pub mod service;
pub mod upstream;
pub mod users;
pub mod verifier;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::auth::Auth;
use self::client::Client;
use self::door::Door;
use self::envoy::Envoy;
use self::ports::Ports;
use self::server::Server;
use self::service::{Service, Trust};
use self::upstream::Upstream;
use self::users::Users;

pub struct Options {
    pub ports: Ports,
    /// The path of the Envoy to start; `None` if Envoy runs elsewhere.
    pub envoy: Option<PathBuf>,
    /// The door through which Envoy loads the gateway.
    pub door: Door,
    /// Whether to listen with the other door as well, if it is built.
    pub both_doors: bool,
    /// The gateway's private key as PKCS#8 PEM; `None` for a new one.
    pub signing_key: Option<String>,
    /// The key for the user service; `None` for a new one.
    pub users_api_key: Option<String>,
    /// The file for Envoy's log; `None` for the output of this process.
    pub envoy_log: Option<PathBuf>,
}

/// Everything that runs. Dropping it stops it.
pub struct Stack {
    pub auth: Auth,
    pub users: Users,
    pub upstream: Upstream,
    envoy: Option<Envoy>,
    pub ports: Ports,
    door: Door,
    /// The ports of the gateway: through `door`, and through the other one if it listens
    /// there as well.
    listeners: Vec<u16>,
    services: Vec<Server>,
    client: Client,
}

impl Stack {
    /// Starts the services, then Envoy with the bundled configuration.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let ports = options.ports;
        let taken = ports.taken();
        let is_own = options.envoy.is_some();
        if is_own && !taken.is_empty() {
            return Err(StartError::PortsTaken(taken));
        }
        let door = options.door;
        if is_own && !door.is_built() {
            return Err(StartError::ModuleMissing(door));
        }
        let other =
            Some(door.other()).filter(|other| is_own && options.both_doors && other.is_built());
        let doors = [(Some(door), ports.listener), (other, ports.other)];
        let doors: Vec<_> =
            doors.into_iter().filter_map(|(door, port)| Some((door?, port))).collect();
        let listeners: Vec<u16> = doors.iter().map(|(_, port)| *port).collect();

        let users_api_key = options.users_api_key.unwrap_or_else(keys::random_text);
        let signing_key = options.signing_key.unwrap_or_else(keys::p256_pem);
        let mut trust = Trust::new(ports, users_api_key.clone());
        trust.doors = doors;
        let trust = Arc::new(trust);
        let auth = Auth::start(ports.bind(ports.auth).await?, listeners.clone());
        let users = Users::start(ports.bind(ports.users).await?, users_api_key.clone());
        let upstream = Upstream::start(ports.bind(ports.upstream).await?, Arc::clone(&trust));
        let mut services = Vec::new();
        for (name, port, router) in services_behind(ports) {
            let router = router.with_state(Service { name, trust: Arc::clone(&trust) });
            services.push(Server::start(ports.bind(port).await?, router));
        }

        let envoy = match &options.envoy {
            None => None,
            Some(executable) => {
                let listens = envoy::Listeners { ports, other };
                let secrets =
                    [("GATEPASS_SIGNING_KEY", &*signing_key), ("USERS_API_KEY", &*users_api_key)];
                let log = options.envoy_log.as_deref();
                Some(start_envoy(executable, door, &listens, &secrets, log).await?)
            }
        };
        let client = Client::new();
        Ok(Self { auth, users, upstream, services, envoy, ports, door, listeners, client })
    }

    /// Waits until Envoy ends by itself, which it should not.
    pub async fn ended(&mut self) -> StartError {
        match &mut self.envoy {
            Some(envoy) => envoy.ended().await,
            None => std::future::pending().await,
        }
    }

    /// The port of the gateway by the other door, or that door if it is not built.
    pub fn other_door(&self) -> Result<u16, Door> {
        self.listeners.get(1).copied().ok_or(self.door.other())
    }

    /// Waits until a user could log in and call the upstream, which includes
    /// that the gateway fetched the auth service's keys.
    pub async fn ready(&self) -> Result<(), StartError> {
        // One that is started elsewhere compiles the module first.
        let seconds = if self.envoy.is_some() { 15 } else { 120 };
        let give_up = Instant::now() + Duration::from_secs(seconds);
        for listener in &self.listeners {
            while let Err(answer) = self.log_in_and_call(*listener).await {
                if Instant::now() > give_up {
                    return Err(StartError::NotServing(answer));
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        // What was asked for this is nobody's page.
        self.users.forget_calls();
        Ok(())
    }

    /// As a user whom no page is for, so that nobody else is known to the gateway yet.
    async fn log_in_and_call(&self, listener: u16) -> Result<(), String> {
        let gateway = format!("http://127.0.0.1:{listener}");
        let credentials = json!({"username": "probe", "password": "probe"});
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
            .get(&format!("{gateway}/views"), &[("authorization", &bearer)])
            .await
            .map_err(|error| error.to_string())?;
        if call.status.is_success() { Ok(()) } else { Err(call.to_string()) }
    }
}

/// Starts Envoy with the bundled configuration and what the shop has beside it.
async fn start_envoy(
    executable: &Path,
    door: Door,
    listens: &envoy::Listeners,
    secrets: &[(&str, &str)],
    log: Option<&Path>,
) -> Result<Envoy, StartError> {
    let other = listens.other.map_or(&[][..], Door::environment);
    let environment: Vec<_> = secrets.iter().chain(other).copied().collect();
    let mut envoy = Envoy::start(&envoy::Options {
        executable,
        door,
        config: &listens.config(door)?,
        more_config: Some(&listens.more()?),
        workers: 2,
        environment: &environment,
        drain: None,
        log,
    })?;
    envoy.ready(listens.ports).await?;
    Ok(envoy)
}

fn services_behind(ports: Ports) -> [(&'static str, u16, Router<Service>); 5] {
    [
        ("catalog", ports.catalog, catalog::router()),
        ("recommendations", ports.recommendations, recommendations::router()),
        ("promotions", ports.promotions, promotions::router()),
        ("reviews", ports.reviews, reviews::router()),
        ("basket", ports.basket, basket::router()),
    ]
}

/// Why the shop does not run.
#[derive(Debug)]
pub enum StartError {
    PortsTaken(Vec<u16>),
    ModuleMissing(Door),
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
                    "{noun} {} {verb} in use; `make run PORT=20000` takes twelve from 20000 on, \
                     `make run PORT=0` any free ones",
                    ports.join(", ")
                )
            }
            Self::ModuleMissing(door) => {
                write!(f, "{} is missing; `{}` builds it", door.module(), door.target())
            }
            Self::Io(what, path, error) => write!(f, "cannot {what} {}: {error}", path.display()),
            Self::EnvoyEnded(status) => {
                write!(f, "Envoy ended ({status}); its messages are above")
            }
            Self::EnvoyNotReady => {
                write!(f, "Envoy did not get ready; its messages are above")
            }
            Self::NotServing(answer) => {
                write!(f, "the gateway serves nobody, it answers: {answer}")
            }
        }
    }
}

impl std::error::Error for StartError {}
