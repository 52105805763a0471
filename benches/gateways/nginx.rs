//! The plugin for Kong in an nginx with LuaJIT, which any machine can install: what it adds
//! to that nginx, by the library that Kong loads too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::envoy::{Machine, free_port};
use crate::load::{Requests, Target};
use crate::process::Process;

/// What the rows are compared with.
const BASELINE: &str = "nginx with LuaJIT alone";

/// An nginx that runs, with a target for each configuration; the baseline is first.
pub struct Nginx {
    pub targets: Vec<Rc<Target>>,
    /// Ends it when dropped.
    _process: Process,
}

/// A row: its name, its configuration, and what is sent there.
pub type Row = (String, Value, Requests);

/// Starts `$NGINX` with Debian's layout, as `.ci/install-nginx` prints it; none without.
pub async fn start(machine: &Machine, plain: &Requests, rows: Vec<Row>) -> Option<Nginx> {
    let executable = PathBuf::from(std::env::var_os("NGINX").filter(|path| !path.is_empty())?);
    let directory = machine.directory.join("nginx");
    fs::create_dir_all(&directory).expect("a directory");
    let (mut init, mut begin, mut servers) = (String::new(), String::new(), String::new());
    let baseline = free_port();
    let mut ports = vec![baseline];
    for (at, (_, config, _)) in rows.iter().enumerate() {
        let mut config = config.clone();
        let users = format!("127.0.0.1:{}", machine.services.users);
        config["services"]["users"]["upstream"] = json!(users);
        let path = directory.join(format!("{at}.json"));
        fs::write(&path, config.to_string()).expect("a file for the configuration");
        init += &format!(
            "gateway{at} = require('kong.plugins.gatepass.openresty')\
             .new(io.open('{}'):read('*a'))\n",
            path.display()
        );
        begin += &format!("gateway{at}.start()\n");
        let phases = format!(
            "access_by_lua_block {{ gateway{at}.access() }}\n\
             log_by_lua_block {{ gateway{at}.log() }}\n"
        );
        let port = free_port();
        servers += &server(port, &phases);
        ports.push(port);
    }
    servers += &server(baseline, "");
    let config = configuration(machine, &executable, &directory, &init, &begin, &servers);
    fs::write(directory.join("nginx.conf"), config).expect("a file for nginx's configuration");

    let mut command = Command::new(&executable);
    command.arg("-p").arg(&directory).args(["-c", "nginx.conf", "-e", "error.log"]);
    let libraries = libraries(&executable);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).expect("paths"));
    let cpus = machine.cpus;
    let log = directory.join("nginx.log");
    let mut process = Process::start(command, &log, &[cpus.gateway], &[cpus.client]);
    process.answers(baseline).await;
    let cpu = process.cpu();
    let names = std::iter::once((BASELINE.to_owned(), Rc::clone(plain)))
        .chain(rows.into_iter().map(|(name, _, requests)| (name, requests)));
    let targets = names
        .zip(ports)
        .map(|((name, requests), port)| Target::new(name, port, requests, 200, cpu.clone()))
        .collect();
    Some(Nginx { targets, _process: process })
}

/// What its packages put into the system's directories is below this one.
fn packages(executable: &Path) -> &Path {
    executable.ancestors().nth(3).expect("it is in usr/sbin")
}

/// The libraries of the packages.
fn libraries(executable: &Path) -> [PathBuf; 2] {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["usr/lib", "lib"].map(|directory| packages(executable).join(directory).join(&triplet))
}

fn server(port: u16, phases: &str) -> String {
    format!(
        "server {{
    listen 127.0.0.1:{port};
    location / {{
      {phases}
      proxy_http_version 1.1;
      proxy_set_header connection \"\";
      proxy_pass http://upstream;
    }}
  }}
"
    )
}

fn configuration(
    machine: &Machine,
    executable: &Path,
    directory: &Path,
    init: &str,
    begin: &str,
    servers: &str,
) -> String {
    let root = env!("CARGO_WORKSPACE_DIR");
    let packages = packages(executable).display().to_string();
    let packages = packages.trim_end_matches('/');
    let lua = libraries(executable)[0].display().to_string();
    let (directory, upstream) = (directory.display(), machine.services.upstream);
    format!(
        "load_module {packages}/usr/lib/nginx/modules/ndk_http_module.so;
load_module {packages}/usr/lib/nginx/modules/ngx_http_lua_module.so;
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  lua_package_path '{root}/?.lua;{root}/tests/kong/lua/?.lua;{packages}/usr/share/lua/5.1/?.lua';
  lua_package_cpath '{root}/target/native/?.so;{lua}/lua/5.1/?.so';
  lua_max_running_timers 4096;
  init_by_lua_block {{ {init} }}
  init_worker_by_lua_block {{ {begin} }}
  upstream upstream {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  {servers}
}}
"
    )
}
