//! What a signature costs inside Envoy, by the host's cryptography and by the
//! module's.
//!
//! A verification: worker time of a request whose token has a changed signature,
//! less that of one refused before it is looked at (by its `typ`). A minting:
//! time of a request that needs a new identity token for a session that is
//! known, less that of one that does not.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Target, cycle};
use crate::report::{Section, Table};
use crate::requests;
use crate::stats::{Load, Series, interleave};
use crate::tokens::{self, Signer};

const VERIFIED: [&str; 8] =
    ["RS256", "ES256", "ES384", "PS256", "EdDSA", "ES256K", "ES512", "HS256"];
const BY_HOST: [&str; 4] = ["RS256", "ES256", "ES384", "ES512"];
const MINTED: [(&str, &str); 4] =
    [("ES256", "host"), ("ES256", "module"), ("EdDSA", "module"), ("RS256", "host")];

pub async fn run(machine: &Machine, effort: &Effort) -> Section {
    let signers = VERIFIED.map(Signer::new);
    let all: Vec<&Signer> = signers.iter().collect();
    let es256 = tokens::identity_key("ES256");
    let mut setup = Setup::new(machine);
    let mut verifying = Vec::new();
    for crypto in ["host", "module"] {
        let mut config = envoy::gatepass(&all, ("ES256", &es256));
        config["crypto"] = crypto.into();
        let port = setup.gatepass(&config);
        for signer in &signers {
            let of_type = |typ: &str, good: bool| {
                let claims = |n: u64| claims(signer, n);
                let token = |n| signer.sign_claims(typ, &claims(n));
                let token = move |n| if good { token(n) } else { spoilt(&token(n)) };
                let requests = (0..32).map(|n| tokens::request(Some(&token(n)), "")).collect();
                cycle(requests)
            };
            verifying.push((
                signer.algorithm,
                crypto,
                port,
                of_type("other", true),
                of_type("at+jwt", false),
            ));
        }
    }
    let mut minting = Vec::new();
    let hot = requests::pool(&signers[0], 32);
    for (algorithm, crypto) in MINTED {
        let key = tokens::identity_key(algorithm);
        let mut config = envoy::gatepass(&[&signers[0]], (algorithm, &key));
        config["crypto"] = crypto.into();
        let reused = setup.gatepass(&config);
        // An identity token is not used again in its last 30 seconds.
        config["identity_token"]["ttl_seconds"] = json!(20);
        minting.push((algorithm, crypto, reused, setup.gatepass(&config)));
    }
    let envoy = setup.start(1).await;
    let cpu = envoy.workers_cpu();

    // Pairs: without and with the operation.
    let mut targets = Vec::new();
    for (algorithm, crypto, port, before, after) in verifying {
        let name = format!("{algorithm} {crypto}");
        targets.push(Target::new(&name, port, before, 401, cpu.clone()));
        targets.push(Target::new(&name, port, after, 401, cpu.clone()));
    }
    for (algorithm, crypto, reused, minted) in minting {
        let name = format!("mint {algorithm} {crypto}");
        for port in [reused, minted] {
            targets.push(Target::new(&name, port, Rc::clone(&hot), 200, cpu.clone()));
        }
    }
    let slice = Duration::from_millis(60);
    let series = interleave(&targets, Load::Saturating(8), effort.rounds(15), slice).await;
    let cost = |name: &str| {
        let of_name = |(target, series): (&Rc<Target>, _)| (target.name == name).then_some(series);
        let pair: Vec<&Series> = targets.iter().zip(&series).filter_map(of_name).collect();
        pair[1].median(|slice| slice.cpu) - pair[0].median(|slice| slice.cpu)
    };
    let mut header = vec![""];
    header.extend(VERIFIED.map(|algorithm| algorithm));
    let mut table = Table::new(&header);
    for crypto in ["host", "module"] {
        let cell = |algorithm: &str| match (crypto, BY_HOST.contains(&algorithm)) {
            ("host", false) => "-".to_owned(),
            _ => format!("{:.0}", cost(&format!("{algorithm} {crypto}"))),
        };
        let cells = VERIFIED.map(cell);
        table.row([crypto.to_owned()].into_iter().chain(cells));
    }
    let mut mint = Table::new(&["", "ES256", "EdDSA", "RS256"]);
    for crypto in ["host", "module"] {
        let cell = |algorithm: &str| match MINTED.contains(&(algorithm, crypto)) {
            true => format!("{:.0}", cost(&format!("mint {algorithm} {crypto}"))),
            false => "-".to_owned(),
        };
        mint.row([crypto.to_owned()].into_iter().chain(["ES256", "EdDSA", "RS256"].map(cell)));
    }
    let text = format!(
        "To verify a signature (microseconds of a worker, the filter's work around it included):\n\n{table}\n\
         To mint an identity token, signing and all else:\n\n{mint}"
    );
    let data = json!({"verify_us": table.json(), "mint_us": mint.json()});
    Section { title: "Cryptography", text, bars: Vec::new(), data }
}

fn claims(signer: &Signer, n: u64) -> serde_json::Value {
    let token = signer.token("user-00", n);
    let payload = token.split('.').nth(1).expect("three parts");
    let bytes = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload);
    serde_json::from_slice(&bytes.expect("base64url")).expect("JSON")
}

/// The token with another signature of the same length.
fn spoilt(token: &str) -> String {
    let at = token.len() - 20;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}
