//! Other gateways, where they are installed: HAProxy's jwt_verify, and nginx
//! with njs. They have no user info and no identity token; what they do is
//! compared with their own plain proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::envoy::{Machine, free_port};
use crate::process::Process;
use crate::tokens::{ISSUER, Signer};

/// A peer that runs, with and without the check of tokens.
pub struct Peer {
    pub name: String,
    pub process: Process,
    pub plain: u16,
    pub checking: u16,
}

/// Those that are installed; the others by name.
pub async fn start(machine: &Machine, signer: &Signer) -> (Vec<Peer>, Vec<&'static str>) {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    let key = machine.directory.join("issuer.pem");
    fs::write(&key, signer.public_pem()).expect("a file for the key");
    match haproxy(machine, &key).await {
        Some(peer) => peers.push(peer),
        None => missing.push("HAProxy (Debian: haproxy)"),
    }
    match nginx(machine, signer).await {
        Some(peer) => peers.push(peer),
        None => missing.push("nginx with njs (Debian: nginx-light libnginx-mod-http-js)"),
    }
    (peers, missing)
}

fn executable(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    directories.map(|directory| directory.join(name)).find(|path| path.exists())
}

async fn haproxy(machine: &Machine, key: &Path) -> Option<Peer> {
    let executable = executable("haproxy")?;
    let (plain, checking, upstream) = (free_port(), free_port(), machine.services.upstream);
    let key = key.display();
    let claims = ["sub", "azp", "client_id", "scope", "tenant"];
    let headers = claims.map(|claim| {
        format!("  http-request set-header x-jwt-{claim} %[var(txn.bearer),jwt_payload_query('$.{claim}')]\n")
    });
    let headers = headers.concat();
    let config = format!(
        "global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
frontend plain
  bind 127.0.0.1:{plain}
  default_backend upstream
frontend checking
  bind 127.0.0.1:{checking}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {ISSUER} }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,\"{key}\") -m int 1 }}
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
{headers}  http-request del-header authorization
  default_backend upstream
backend upstream
  server one 127.0.0.1:{upstream}
"
    );
    let path = machine.directory.join("haproxy.cfg");
    fs::write(&path, config).expect("a file for HAProxy's configuration");
    let version = version(&executable, "-v", |text| {
        text.split_ascii_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
    });
    let mut command = Command::new(executable);
    command.arg("-db").arg("-f").arg(path);
    let mut process = launch(machine, command, "haproxy.log");
    process.answers(checking).await;
    Some(Peer { name: format!("HAProxy {version}"), process, plain, checking })
}

/// njs verifies asynchronously, so the check is an `auth_request`.
async fn nginx(machine: &Machine, signer: &Signer) -> Option<Peer> {
    let executable = executable("nginx")?;
    let njs = Path::new("/usr/lib/nginx/modules/ngx_http_js_module.so");
    if !njs.exists() {
        return None;
    }
    let (plain, checking, upstream) = (free_port(), free_port(), machine.services.upstream);
    let directory = machine.directory.display();
    let claims = ["sub", "azp", "client_id", "scope", "tenant"];
    let sets = claims.map(|claim| {
        format!("      auth_request_set $jwt_{claim} $sent_http_x_jwt_{claim};\n      proxy_set_header x-jwt-{claim} $jwt_{claim};\n")
    });
    let sets = sets.concat();
    let njs = njs.display();
    let config = format!(
        "load_module {njs};
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 300s;
  client_body_temp_path {directory}/nginx-body;
  proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-fastcgi;
  uwsgi_temp_path {directory}/nginx-uwsgi;
  scgi_temp_path {directory}/nginx-scgi;
  js_path {directory};
  js_import gate from nginx.js;
  upstream upstream {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  proxy_http_version 1.1;
  proxy_set_header connection \"\";
  server {{
    listen 127.0.0.1:{plain};
    location / {{ proxy_pass http://upstream; }}
  }}
  server {{
    listen 127.0.0.1:{checking};
    location = /_gate {{ internal; js_content gate.check; }}
    location / {{
      auth_request /_gate;
{sets}      proxy_set_header connection \"\";
      proxy_set_header authorization \"\";
      proxy_pass http://upstream;
    }}
  }}
}}
"
    );
    let pem = signer.public_pem();
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let script = format!(
        "let key;
async function check(r) {{
    try {{
        key = key || await crypto.subtle.importKey('spki', Buffer.from('{der}', 'base64'),
            {{name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256'}}, false, ['verify']);
        const parts = r.headersIn.authorization.slice(7).split('.');
        const header = JSON.parse(Buffer.from(parts[0], 'base64url'));
        const claims = JSON.parse(Buffer.from(parts[1], 'base64url'));
        const good = header.alg === 'RS256' && claims.iss === '{ISSUER}'
            && claims.exp > Date.now() / 1000
            && await crypto.subtle.verify('RSASSA-PKCS1-v1_5', key,
                Buffer.from(parts[2], 'base64url'), parts[0] + '.' + parts[1]);
        if (!good) {{ r.return(401); return; }}
        ['sub', 'azp', 'client_id', 'scope', 'tenant'].forEach(name => {{
            r.headersOut['x-jwt-' + name] = claims[name];
        }});
        r.return(200);
    }} catch (error) {{ r.return(401); }}
}}
export default {{check}};
"
    );
    fs::write(machine.directory.join("nginx.js"), script).expect("a file for nginx's script");
    let path = machine.directory.join("nginx.conf");
    fs::write(&path, config).expect("a file for nginx's configuration");
    let version = version(&executable, "-v", |text| text.trim().rsplit('/').next());
    let mut command = Command::new(executable);
    command.arg("-c").arg(path).arg("-p").arg(&machine.directory);
    let mut process = launch(machine, command, "nginx.log");
    process.answers(checking).await;
    Some(Peer { name: format!("nginx {version}, njs"), process, plain, checking })
}

fn launch(machine: &Machine, command: Command, log: &str) -> Process {
    let cpus = machine.cpus;
    Process::start(command, &machine.directory.join(log), &[cpus.gateway], &[cpus.client])
}

fn version(executable: &Path, flag: &str, find: impl Fn(&str) -> Option<&str>) -> String {
    let output = Command::new(executable).arg(flag).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    find(&text).unwrap_or_default().to_owned()
}
