//! An nginx with LuaJIT, the plugin in it, and the shop's services around it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::stack::auth::Auth;
use crate::stack::client::Client;
use crate::stack::keys;
use crate::stack::ports::Ports;
use crate::stack::service::Trust;
use crate::stack::upstream::Upstream;
use crate::stack::users::Users;
use crate::wire::{Answer, Connection, Request};

const PATIENCE: Duration = Duration::from_secs(20);

/// Where the repository is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_WORKSPACE_DIR"))
}

/// Where cargo built the library for this test.
fn library() -> PathBuf {
    let deps = env::current_exe().unwrap();
    let deps = deps.parent().unwrap();
    assert!(deps.join("libgatepass_kong.so").exists(), "no library in {}", deps.display());
    deps.to_owned()
}

/// The nginx to test with: `$NGINX`, else what `.ci/install-nginx` installs.
fn executable() -> PathBuf {
    let installed = env::var_os("NGINX")
        .map_or_else(|| root().join("target/nginx/usr/sbin/nginx"), PathBuf::from);
    assert!(
        installed.exists(),
        "no nginx: run `make test`, or `.ci/install-nginx` before `cargo test`"
    );
    installed
}

/// What its packages put into the system's directories is below this one.
fn packages() -> PathBuf {
    executable().ancestors().nth(3).expect("it is in usr/sbin").to_owned()
}

/// Where libraries of the system for this processor are, as Debian has them: some packages
/// still name the old one of these.
fn library_directories() -> [PathBuf; 2] {
    let triplet = format!("{}-linux-gnu", env::consts::ARCH);
    ["usr/lib", "lib"].map(|directory| packages().join(directory).join(&triplet))
}

/// Who calls the plugin's phases.
#[derive(Clone, Copy, PartialEq)]
pub enum Caller {
    /// As Kong does, with a stub of its PDK.
    Kong,
    /// A plain nginx, by `openresty.lua`.
    OpenResty,
}

/// Lua that keeps the last gateway that was opened.
const IN_PROGRESS: &str = "
  local ffi = require 'ffi'
  local load = ffi.load
  ffi.load = function(...)
    local library, gateway = load(...), nil
    in_progress = function() return library.gatepass_in_progress(gateway) end
    local function open(...)
      gateway = library.gatepass_new(...)
      return gateway
    end
    return setmetatable({}, { __index = function(_, name)
      return name == 'gatepass_new' and open or library[name]
    end })
  end ";

/// What to start nginx with.
pub struct Setup {
    pub config: Value,
    caller: Caller,
    workers: u32,
    http: String,
    running_timers: u32,
    server: String,
    init: String,
    library: Option<PathBuf>,
    users_port: Option<u16>,
    vaults: Value,
}

impl Setup {
    /// The configuration of `envoy/envoy.yaml`, with services of this machine.
    pub fn bundled() -> Self {
        let text = fs::read_to_string(root().join("envoy/envoy.yaml")).unwrap();
        let document: Value = serde_norway::from_str(&text).unwrap();
        let found = find(&document, "configuration").expect("a configuration");
        let mut config = found["value"].clone();
        // Two change every challenge, and logouts need their path, which tests replace with the
        // rest of `revocation`; the tests that are about them bring their own.
        config.as_object_mut().unwrap().remove("resources");
        for field in ["binding", "logout"] {
            config["providers"]["shop"].as_object_mut().unwrap().remove(field);
        }
        config["revocation"].as_object_mut().unwrap().remove("logout_path");
        Self {
            config,
            caller: Caller::Kong,
            workers: 1,
            http: String::new(),
            running_timers: 4096,
            server: String::new(),
            init: String::new(),
            library: None,
            users_port: None,
            vaults: Value::Null,
        }
    }

    /// Another configuration.
    pub fn of(config: Value) -> Self {
        Self { config, ..Self::bundled() }
    }

    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Lua to run in each worker before the plugin.
    pub fn init(mut self, lua: &str) -> Self {
        self.init.push_str(lua);
        self
    }

    /// Shows what `gatepass_in_progress` says of a gateway, for [`Nginx::in_progress`].
    pub fn counts_in_progress(self) -> Self {
        let page = "location = /in_progress { content_by_lua_block { ngx.say(in_progress()) } }";
        self.init(IN_PROGRESS).server(page)
    }

    pub fn http(mut self, directives: &str) -> Self {
        self.http.push_str(directives);
        self
    }

    /// How many timers a worker may run at once; nginx drops others when they are due.
    pub fn running_timers(mut self, most: u32) -> Self {
        self.running_timers = most;
        self
    }

    /// Directives of the server with the plugin.
    pub fn server(mut self, directives: &str) -> Self {
        self.server.push_str(directives);
        self
    }

    /// Another library, or a directory without one.
    pub fn library(mut self, directory: &Path) -> Self {
        self.library = Some(directory.to_owned());
        self
    }

    /// What is in Kong's vaults when nginx starts.
    pub fn vaults(mut self, vaults: Value) -> Self {
        self.vaults = vaults;
        self
    }

    /// Another service to ask about users.
    pub fn user_service(mut self, port: u16) -> Self {
        self.users_port = Some(port);
        self
    }

    /// Sets a member of the configuration by its JSON pointer.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).expect("a parent");
        parent[name] = value;
        self
    }

    pub async fn start(self) -> Nginx {
        let mut nginx = self.spawn().await;
        let address = ("127.0.0.1", nginx.ports.listener);
        while std::net::TcpStream::connect(address).is_err() {
            let ended = nginx.child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {ended:?}\n{}", nginx.log());
            sleep(Duration::from_millis(20)).await;
        }
        nginx
    }

    async fn spawn(mut self) -> Nginx {
        let ports = Ports::unused().with_one_upstream();
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kong-{}", ports.listener));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        set_ports(&mut self.config, ports.auth, self.users_port.unwrap_or(ports.users));
        fs::write(directory.join("gatepass.json"), self.config.to_string()).unwrap();
        if !self.vaults.is_null() {
            fs::write(directory.join("vaults.json"), self.vaults.to_string()).unwrap();
        }
        let conf = self.nginx_conf(&directory, ports);
        fs::write(directory.join("nginx.conf"), conf).unwrap();

        let (api_key, signing_key) = (keys::random_text(), keys::p256_pem());
        let auth = Auth::start(ports.bind(ports.auth).await.unwrap(), vec![ports.listener]);
        let users = Users::start(ports.bind(ports.users).await.unwrap(), api_key.clone());
        let trust = Arc::new(Trust::new(ports, api_key.clone()));
        let upstream = Upstream::start(ports.bind(ports.upstream).await.unwrap(), trust);
        let output = File::create(directory.join("output")).unwrap();
        let child = Command::new(executable())
            .args(["-p", directory.to_str().unwrap(), "-c", "nginx.conf"])
            .arg("-e")
            .arg(directory.join("error.log"))
            .env("LD_LIBRARY_PATH", env::join_paths(library_directories()).unwrap())
            .env("GATEPASS_SIGNING_KEY", &signing_key)
            .env("GATEPASS_ENV", "USERS_API_KEY")
            .env("USERS_API_KEY", &api_key)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Nginx {
            ports,
            auth,
            directory,
            client: Client::new(),
            secrets: vec![api_key],
            child,
            expects_errors: false,
            _users: users,
            _upstream: upstream,
        }
    }

    fn nginx_conf(&self, directory: &Path, ports: Ports) -> String {
        let (init, phases) = match self.caller {
            Caller::Kong => (
                "init_by_lua_block { $CODE stub = require('stub'); stub.install('$DIRECTORY') }
                 init_worker_by_lua_block { stub.init_worker() }",
                "location = /stub/metrics { access_by_lua_block { return } content_by_lua_block { stub.metrics() } }
                 location = /stub/reconfigure { access_by_lua_block { return } content_by_lua_block { stub.reconfigure() } }
                 access_by_lua_block { stub.access() }
                 header_filter_by_lua_block { stub.header_filter() }
                 log_by_lua_block { stub.log() }",
            ),
            Caller::OpenResty => (
                "init_by_lua_block { $CODE
                   local text = io.open('$DIRECTORY/gatepass.json'):read('*a')
                   gatepass = require('kong.plugins.gatepass.openresty').new(text)
                 }
                 init_worker_by_lua_block { gatepass.start() }",
                "access_by_lua_block {
                   gatepass.access()
                   ngx.var.upstream_uri = ngx.var.request_uri:match('^[^?]*') .. ngx.var.is_args .. (ngx.var.args or '')
                 }
                 log_by_lua_block { gatepass.log() }",
            ),
        };
        // Workers of another user could not read this user's files.
        let master = if self.workers > 1 { "user root;" } else { "user root; master_process on;" };
        let library = self.library.clone().unwrap_or_else(library);
        let text = include_str!("nginx.conf")
            .replace("$INIT", init)
            .replace("$PHASES", phases)
            .replace("$CODE", &self.init)
            .replace("$HTTP2", &ports.admin.to_string())
            .replace("$SERVER", &self.server)
            .replace("$HTTP", &self.http)
            .replace("$USERS", &ports.users.to_string())
            .replace("$MASTER", master);
        [
            ("$DIRECTORY", directory.display().to_string()),
            ("$NGINX_LIBRARIES", library_directories()[0].display().to_string()),
            ("$NGINX", packages().display().to_string().trim_end_matches('/').to_owned()),
            ("$ROOT", root().display().to_string()),
            ("$LIBRARY", library.display().to_string()),
            ("$WORKERS", self.workers.to_string()),
            ("$RUNNING_TIMERS", self.running_timers.to_string()),
            ("$LISTENER", ports.listener.to_string()),
            ("$UPSTREAM", ports.upstream.to_string()),
        ]
        .iter()
        .fold(text, |text, (name, value)| text.replace(name, value))
    }
}

fn set_ports(config: &mut Value, auth: u16, users: u16) {
    for (name, port) in [("auth", auth), ("users", users)] {
        if let Some(service) = config["services"].get_mut(name) {
            service["upstream"] = json!(format!("127.0.0.1:{port}"));
        }
    }
}

fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(members) => {
            members.get(name).or_else(|| members.values().find_map(|member| find(member, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

/// Waits until something holds.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < give_up, "in vain: {what}");
        sleep(Duration::from_millis(30)).await;
    }
}

/// Everything that runs. Dropping it stops it, and looks at the log.
pub struct Nginx {
    pub ports: Ports,
    pub auth: Auth,
    pub directory: PathBuf,
    client: Client,
    secrets: Vec<String>,
    child: Child,
    expects_errors: bool,
    _users: Users,
    _upstream: Upstream,
}

impl Nginx {
    pub fn token(&self, username: &str) -> String {
        self.auth.sign(&Auth::claims(username).expect("the user has an account"))
    }

    /// Waits until the first worker has the keys.
    pub async fn ready(&self) {
        until("somebody fetched the keys", || async {
            self.read(self.ports.auth, "/calls").await["jwks_served"].as_u64() > Some(0)
        })
        .await;
        sleep(Duration::from_millis(300)).await;
    }

    pub async fn try_send(&self, request: Request) -> Option<Answer> {
        let (bytes, port) = (request.into_bytes(), self.ports.listener);
        spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap()
    }

    pub async fn send(&self, request: Request) -> Answer {
        match self.try_send(request).await {
            Some(answer) => answer,
            None => panic!("nginx hangs up\n{}", self.log()),
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::get(path).bearer(token)).await
    }

    /// Several requests at once; their outcomes.
    pub async fn send_at_once(&self, requests: Vec<Request>) -> Vec<String> {
        let port = self.ports.listener;
        let sent = requests.into_iter().map(|request| {
            let bytes = request.into_bytes();
            spawn_blocking(move || {
                Connection::open(port).send(&bytes).expect("an answer").outcome()
            })
        });
        let mut outcomes = Vec::new();
        for answer in sent.collect::<Vec<_>>() {
            outcomes.push(answer.await.unwrap());
        }
        outcomes
    }

    pub async fn read(&self, port: u16, path: &str) -> Value {
        let reply = self.client.get(&format!("http://127.0.0.1:{port}{path}"), &[]).await.unwrap();
        reply.json().unwrap_or_else(|_| panic!("{reply}"))
    }

    pub async fn post(&self, port: u16, path: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{port}{path}");
        let reply = self.client.post(&url, body).await.unwrap();
        assert!(reply.status.is_success(), "{reply}");
    }

    /// How many requests and callouts are in progress in the worker.
    pub async fn in_progress(&self) -> u32 {
        let answer = self.send(Request::get("/in_progress")).await;
        String::from_utf8(answer.body).unwrap().trim().parse().unwrap()
    }

    pub async fn users_fault(&self, fault: Value) {
        self.post(self.ports.users, "/fault", &fault).await;
    }

    pub async fn user_calls(&self, username: &str) -> u64 {
        self.read(self.ports.users, "/calls").await["by_subject"][username].as_u64().unwrap_or(0)
    }

    pub fn log(&self) -> String {
        let read = |name: &str| fs::read(self.directory.join(name)).unwrap_or_default();
        let (log, output) = (read("error.log"), read("output"));
        format!("{}{}", String::from_utf8_lossy(&log), String::from_utf8_lossy(&output))
    }

    /// The log may have errors: the test makes some.
    pub fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// Sends a signal to the master.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // It may have ended by itself.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
    }

    /// A configuration with this machine's services.
    pub fn with_ports(&self, mut config: Value) -> Value {
        set_ports(&mut config, self.ports.auth, self.ports.users);
        config
    }

    pub fn write_vaults(&self, vaults: &Value) {
        fs::write(self.directory.join("vaults.json"), vaults.to_string()).unwrap();
    }

    /// The consumers in Kong's database; without a list it cannot be asked.
    pub fn write_consumers(&self, consumers: &Value) {
        fs::write(self.directory.join("consumers.json"), consumers.to_string()).unwrap();
    }

    /// The first worker.
    fn worker(&self) -> u32 {
        let master = self.child.id();
        let path = format!("/proc/{master}/task/{master}/children");
        let children = fs::read_to_string(path).unwrap();
        children.split_whitespace().next().expect("a worker").parse().unwrap()
    }

    /// The memory that the first worker has in use.
    pub fn worker_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.worker())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        resident.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many connections are open to a port of this machine.
    pub fn connections_to(&self, port: u16) -> usize {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let remote = format!("0100007F:{port:04X}");
        let is_open = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(2) == Some(&remote.as_str()) && fields.get(3) == Some(&"01")
        };
        table.lines().filter(is_open).count()
    }

    /// Gives it another configuration, as Kong's Admin API does.
    pub async fn reconfigure(&self, config: &Value) {
        fs::write(self.directory.join("gatepass.json"), config.to_string()).unwrap();
        self.send(Request::get("/stub/reconfigure")).await;
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- nginx's log\n{}\n---", self.log());
            return;
        }
        let log = self.log();
        for secret in &self.secrets {
            assert!(!log.contains(secret), "{secret:?} is in the log:\n{log}");
        }
        assert!(!log.contains("eyJ"), "a token is in the log:\n{log}");
        for sign in ["panicked", "exited on signal", "traceback", "the library failed"] {
            assert!(!log.contains(sign), "{sign:?} is in the log:\n{log}");
        }
        assert!(self.expects_errors || !log.contains("[error]"), "errors in the log:\n{log}");
        let _ = fs::remove_dir_all(&self.directory);
    }
}
