//! A gateway that has all that a client can keep busy: proofs, reference tokens, logins and
//! endpoints that read bodies, beside services that fail when asked about somebody.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::ProofKey;
use crate::contract::{Group, Service, State};
use crate::fault::Fault;
use crate::gateway::{Gateway, Setup};
use crate::service::Services;
use crate::tokens::alice;
use crate::traffic::{Volley, orders};
use crate::wire::{Connection, Request};

/// Where proofs are for.
const URI: &str = "http://shop.example/orders";

const SECRET: &str = "a-secret-of-the-gateways-0123456789";

const LOGINS: &str = "\
sealed_tokens:
  keys: [AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=]
  logins: [{match: {path_prefix: /login, methods: [POST]}, service: logins, json: [/access_token]}]
errors: {realm: shop}";

/// The bundled configuration, with users, reference tokens and logins at these services. A
/// login may take as long as `login_ms`.
pub fn everything(services: &Services, login_ms: u32) -> Setup {
    let slow = format!("upstream: logins, timeout_ms: {login_ms}}}");
    Setup::bundled()
        .service("faulty", services.port)
        .service("logins", services.port)
        .replace("upstream: faulty, timeout_ms: 1000}", "upstream: faulty, timeout_ms: 3000}")
        .replace("upstream: logins, timeout_ms: 1000}", &slow)
        .replace("service: users\n", "service: faulty\n")
        .replace("country: /address/country", "country: /country")
        .provider_field("binding: {dpop: {}}")
        .provider_field(&format!(
            "introspection: {{service: faulty, path: /introspect, client_id: gateway, \
             client_secret: {SECRET}, cache: {{max_entries: 1000}}}}"
        ))
        .replace_block("errors:", LOGINS)
        .sealed_logins()
        .secret(SECRET)
}

/// What a service that fails in this way is asked about.
pub fn about(service: Service, fault: Fault, name: &str) -> String {
    format!("{}.{name}", Group { service, fault, state: State::Cold })
}

/// Somebody whose service answers.
fn well_known(name: &str) -> String {
    format!("{}.{name}", Group { service: Service::Users, fault: Fault::Hang, state: State::Warm })
}

/// Who does nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Token,
    Proofs,
    Login,
}

impl Victim {
    pub const ALL: [Self; 3] = [Self::Token, Self::Proofs, Self::Login];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "a token",
            Self::Proofs => "proofs",
            Self::Login => "logins",
        }
    }

    /// What makes the requests, all of which have to be served.
    pub fn requests(self, gateway: &Gateway) -> Box<dyn Fn() -> Request + Send + Sync> {
        match self {
            Self::Token => {
                let token = gateway.services.auth.sign(&alice(json!({"sub": well_known("one")})));
                Box::new(move || orders(&token))
            }
            Self::Proofs => {
                let key = ProofKey::new();
                let claims = json!({"sub": well_known("two"), "cnf": key.confirmation()});
                let token = gateway.services.auth.sign(&alice(claims));
                Box::new(move || {
                    let proof = key.proof("GET", URI, &token, None);
                    Request::get("/orders")
                        .with("authorization", format!("DPoP {token}"))
                        .with("dpop", proof)
                })
            }
            Self::Login => Box::new(|| Request::post("/login/alice", r#"{"password": "right"}"#)),
        }
    }
}

/// Clients of each victim's connect anew now and then, so that they come to every worker.
const REQUESTS: usize = 10;

/// Lets the victims' clients come for so long, and not faster than this; what became of the
/// requests of each.
pub fn visit(gateway: &Gateway, clients: usize, pause: Duration, time: Duration) -> Vec<Volley> {
    let begun = Instant::now();
    let client = |next: &(dyn Fn() -> Request + Sync)| {
        let mut volley = Volley::default();
        while begun.elapsed() < time {
            let mut connection = Connection::open(gateway.ports.listener);
            for _ in 0..REQUESTS {
                thread::sleep(pause);
                let request = next().into_bytes();
                let sent = Instant::now();
                connection.write(&request);
                match connection.read_answer() {
                    Some(answer) if answer.status == 200 => volley.accepted.push(sent.elapsed()),
                    Some(answer) => volley.wrong.push(answer.to_string()),
                    None => {
                        volley.wrong.push("hung up".to_owned());
                        break;
                    }
                }
            }
        }
        volley
    };
    let requests: Vec<_> = Victim::ALL.iter().map(|victim| victim.requests(gateway)).collect();
    thread::scope(|scope| {
        let running: Vec<Vec<_>> = requests
            .iter()
            .map(|next| (0..clients).map(|_| scope.spawn(move || client(next))).collect())
            .collect();
        let mut volleys = Vec::new();
        for clients in running {
            let mut all = Volley::default();
            clients.into_iter().for_each(|it| all.take(it.join().expect("a client ends")));
            all.accepted.sort();
            volleys.push(all);
        }
        volleys
    })
}
