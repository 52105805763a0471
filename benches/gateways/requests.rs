//! What a request costs behind each gateway.

use std::fs;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Effort;
use crate::envoy::{self, Machine, Setup};
use crate::load::{Connection, Requests, Slice, Target, cycle};
use crate::nginx;
use crate::peers;
use crate::report::{self, Section};
use crate::services::Seen;
use crate::stats::{Estimate, Load, Series, interleave, rounded};
use crate::tokens::{self, Signer};

/// Tokens of a "cached" target: as many as fit in every cache here.
const HOT: u64 = 64;
/// Tokens of a "new" one, in turn: far more than its cache holds.
const COLD: u64 = 4096;
const COLD_CACHE: u64 = 64;

const BASELINE: &str = "Envoy, no filter";
/// The same once more: what differs between the two is noise.
const AGAIN: &str = "Envoy, no filter, once more";
const CACHED: &str = "Gatepass, token seen before";
/// The same without the VM.
const NATIVE: &str = "Gatepass native, token seen before";

fn user(n: u64) -> String {
    format!("user-{:02}", n % HOT)
}

/// Requests with tokens of 64 users.
pub fn pool(signer: &Signer, tokens: u64) -> Requests {
    let token = |n| tokens::request(Some(&signer.token(&user(n), n)), "");
    cycle((0..tokens).map(token).collect())
}

pub async fn run(machine: &Machine, seen: &Seen, effort: &Effort) -> Section {
    let [rs256, es256, eddsa] = ["RS256", "ES256", "EdDSA"].map(Signer::new);
    let identity = tokens::identity_key("ES256");
    let configure = |signer: &Signer, change: &dyn Fn(&mut Value)| {
        let mut config = envoy::gatepass(&[signer], ("ES256", &identity));
        change(&mut config);
        config
    };
    let cold = |crypto: &'static str| {
        move |config: &mut Value| {
            config["limits"] = json!({"token_cache_entries": COLD_CACHE});
            config["crypto"] = crypto.into();
        }
    };
    let noop = machine.directory.join("noop.wasm");
    let text = wat::parse_str(include_str!("noop.wat")).expect("it is valid");
    fs::write(&noop, text).expect("a file for the smallest filter");

    // Name, port, requests; all by one Envoy.
    let mut setup = Setup::new(machine);
    let hot = pool(&rs256, HOT);
    let colds = [&rs256, &es256, &eddsa].map(|signer| (signer, pool(signer, effort.of(COLD))));
    let mut listeners: Vec<(String, u16, Requests)> = vec![
        (BASELINE.into(), setup.listen(vec![]), Rc::clone(&hot)),
        (AGAIN.into(), setup.listen(vec![]), Rc::clone(&hot)),
        (
            "smallest wasm filter".into(),
            setup.listen(vec![envoy::wasm(&noop, 1000, &json!({}))]),
            Rc::clone(&hot),
        ),
        (CACHED.into(), setup.gatepass(&configure(&rs256, &|_| ())), Rc::clone(&hot)),
        (NATIVE.into(), setup.native(&configure(&rs256, &|_| ())), Rc::clone(&hot)),
    ];
    for (name, cache, claims) in [
        ("jwt_authn, cached", true, false),
        ("jwt_authn, cached, claims to headers", true, true),
        ("jwt_authn RS256, claims to headers", false, true),
    ] {
        let port = setup.listen(vec![envoy::jwt_authn(&rs256, cache, claims, false)]);
        listeners.push((name.into(), port, Rc::clone(&hot)));
    }
    for signer in [&es256, &eddsa] {
        let port = setup.listen(vec![envoy::jwt_authn(signer, false, true, false)]);
        let name = format!("jwt_authn {}, claims to headers", signer.algorithm);
        listeners.push((name, port, pool(signer, HOT)));
    }
    for (name, cache) in
        [("jwt_authn, cached + ext_authz", true), ("jwt_authn RS256 + ext_authz", false)]
    {
        let jwt_authn = envoy::jwt_authn(&rs256, cache, false, true);
        let port = setup.listen(vec![jwt_authn, envoy::ext_authz(machine.services.enrichment)]);
        listeners.push((name.into(), port, Rc::clone(&hot)));
    }
    for (signer, requests) in &colds {
        for crypto in ["host", "module"] {
            let port = setup.gatepass(&configure(signer, &cold(crypto)));
            let name = format!("Gatepass, new token, {}, crypto: {crypto}", signer.algorithm);
            listeners.push((name, port, Rc::clone(requests)));
        }
        let port = setup.native(&configure(signer, &cold("host")));
        let name = format!("Gatepass native, new token, {}", signer.algorithm);
        listeners.push((name, port, Rc::clone(requests)));
    }
    let full_miss = configure(&rs256, &|config| {
        cold("host")(config);
        config["user_info"]["cache"] =
            json!({"ttl_seconds": 0, "stale_if_error_seconds": 0, "max_entries": 0});
    });
    let port = setup.gatepass(&full_miss);
    let name = "Gatepass, new token and user, RS256, crypto: host".to_owned();
    listeners.push((name, port, Rc::clone(&colds[0].1)));

    // For whoever works on the filter: the same beside another build of it.
    if let Some(module) = std::env::var_os("COMPARE") {
        let filter = envoy::wasm(module.as_ref(), 1001, &configure(&rs256, &|_| ()));
        listeners.push((format!("{CACHED}, COMPARE"), setup.listen(vec![filter]), Rc::clone(&hot)));
        let names = [BASELINE, CACHED, NATIVE, "smallest", "jwt_authn, cached, claims"];
        listeners.retain(|(name, ..)| names.iter().any(|part| name.starts_with(part)));
    }

    let envoy = setup.start(1).await;
    let worker = envoy.workers_cpu();
    let target = |(name, port, requests)| Target::new(name, port, requests, 200, worker.clone());
    let mut targets: Vec<Rc<Target>> = listeners.into_iter().map(target).collect();
    let alone = std::env::var_os("COMPARE").is_some();
    let (peers, mut missing) =
        if alone { Default::default() } else { peers::start(machine, &rs256).await };
    for peer in &peers {
        let (name, cpu) = (&peer.name, peer.process.cpu());
        targets.push(Target::new(
            format!("{name}, plain"),
            peer.plain,
            Rc::clone(&hot),
            200,
            cpu.clone(),
        ));
        targets.push(Target::new(
            format!("{name}, RS256"),
            peer.checking,
            Rc::clone(&hot),
            200,
            cpu,
        ));
    }
    for target in &targets {
        assert_does_its_work(target, seen, &rs256).await;
    }

    if alone {
        let slice = Duration::from_millis(150);
        let saturated = interleave(&targets, Load::Saturating(16), effort.rounds(30), slice).await;
        let compared = |index: usize| (&targets[index].name, saturated[index].added_cpu());
        let text = (0..targets.len())
            .map(compared)
            .map(|(name, cpu)| format!("- {name}: {} us\n", added(cpu)));
        return Section {
            title: "Requests",
            text: text.collect(),
            bars: Vec::new(),
            data: Value::Null,
        };
    }
    let mut rows = measure(&targets, effort).await;
    drop(envoy);
    match nginx(machine, seen, effort).await {
        Some(more) => rows.extend(more),
        None => missing.push("nginx with LuaJIT (.ci/install-nginx)"),
    }

    let mut text = table(&rows);
    for peer in missing {
        text += &format!("\nNot installed, so not measured: {peer}.\n");
    }
    text += &comparison(&rows);
    let bars: Vec<(String, f64)> =
        rows.iter().map(|row| (row.name.clone(), row.saturated.added_cpu().median)).collect();
    let data = rows.iter().map(Row::json).collect();
    Section { title: "Requests", text, bars, data }
}

/// What a request costs behind nginx alone.
pub async fn run_nginx(machine: &Machine, seen: &Seen, effort: &Effort) -> Section {
    let rows = nginx(machine, seen, effort).await.expect("$NGINX is one with LuaJIT");
    let data = rows.iter().map(Row::json).collect();
    Section { title: "Requests", text: table(&rows), bars: Vec::new(), data }
}

/// The plugin in an nginx, compared with that nginx alone; none without one.
async fn nginx(machine: &Machine, seen: &Seen, effort: &Effort) -> Option<Vec<Row>> {
    let identity = tokens::identity_key("ES256");
    let [rs256, es256] = ["RS256", "ES256"].map(Signer::new);
    let hot = pool(&rs256, HOT);
    let configure = |signer: &Signer| envoy::gatepass(&[signer], ("ES256", &identity));
    let mut rows = vec![(
        "Gatepass by FFI in nginx, token seen before".to_owned(),
        configure(&rs256),
        Rc::clone(&hot),
    )];
    for signer in [&rs256, &es256] {
        let mut config = configure(signer);
        config["limits"] = json!({"token_cache_entries": COLD_CACHE});
        let name = format!("Gatepass by FFI in nginx, new token, {}", signer.algorithm);
        rows.push((name, config, pool(signer, effort.of(COLD))));
    }
    let nginx = nginx::start(machine, &hot, rows).await?;
    for target in &nginx.targets {
        assert_does_its_work(target, seen, &rs256).await;
    }
    Some(measure(&nginx.targets, effort).await)
}

/// Measures all of them in turn: as fast as they go, then at 80 % of that.
async fn measure(targets: &[Rc<Target>], effort: &Effort) -> Vec<Row> {
    let slice = Duration::from_millis(150);
    let saturated = interleave(targets, Load::Saturating(16), effort.rounds(30), slice).await;
    let slice = Duration::from_millis(300);
    let rates: Vec<f64> =
        saturated.iter().map(|series| 0.8 * series.median(|slice| slice.per_second)).collect();
    let shared = interleave(targets, Load::Rates(&rates), effort.rounds(9), slice).await;
    targets
        .iter()
        .zip(saturated.into_iter().zip(shared))
        .map(|(target, (saturated, shared))| Row { name: target.name.clone(), saturated, shared })
        .collect()
}

struct Row {
    name: String,
    saturated: Series,
    shared: Series,
}

impl Row {
    /// The same as in the table.
    fn json(&self) -> Value {
        let Self { name, saturated, shared } = self;
        let of = |series: &Series, value: fn(&Slice) -> f64| rounded(series.median(value));
        json!({
            "name": name,
            "requests_per_second": of(saturated, |slice| slice.per_second),
            "of_baseline": rounded(saturated.throughput_ratio()),
            "cpu_us": of(saturated, |slice| slice.cpu),
            "added_cpu_us": saturated.added_cpu().json(),
            "p50_us": of(saturated, |slice| slice.p50),
            "p99_us": of(saturated, |slice| slice.p99),
            "p50_us_at_80_percent": of(shared, |slice| slice.p50),
            "p99_us_at_80_percent": of(shared, |slice| slice.p99),
            "slices": saturated.slices.len(),
        })
    }
}

/// With its interval.
fn added(cpu: Estimate) -> String {
    format!("{:+.1} [{:+.1}, {:+.1}]", cpu.median, cpu.low, cpu.high)
}

fn table(rows: &[Row]) -> String {
    let mut table = report::Table::new(&[
        "",
        "requests/s",
        "of no filter",
        "CPU us/request",
        "added",
        "busy",
        "p50 us",
        "p99 us",
        "p50 us at 80 %",
        "p99 us at 80 %",
    ]);
    for Row { name, saturated, shared } in rows {
        let rate = saturated.median(|slice| slice.per_second);
        let cpu = saturated.median(|slice| slice.cpu);
        table.row([
            name.clone(),
            format!("{rate:.0}"),
            format!("{:.2}", saturated.throughput_ratio()),
            format!("{cpu:.1}"),
            added(saturated.added_cpu()),
            format!("{:.0} %", saturated.median(|slice| slice.cpu * slice.per_second / 1e4)),
            format!("{:.0}", saturated.median(|slice| slice.p50)),
            format!("{:.0}", saturated.median(|slice| slice.p99)),
            format!("{:.0}", shared.median(|slice| slice.p50)),
            format!("{:.0}", shared.median(|slice| slice.p99)),
        ]);
    }
    table.to_string()
}

/// Gatepass beside what does the same, or less.
fn comparison(rows: &[Row]) -> String {
    let find = |name: &str| rows.iter().find(|row| row.name.starts_with(name)).expect("a target");
    let mut table = report::Table::new(&["", "compared with", "requests/s", "goal"]);
    for (own, other, goal) in [
        (CACHED, "jwt_authn, cached, claims to headers", "0.90"),
        (CACHED, "jwt_authn RS256, claims to headers", "1.45"),
        (CACHED, "jwt_authn, cached + ext_authz", "1.60"),
        (CACHED, "jwt_authn RS256 + ext_authz", "2.20"),
        (NATIVE, "jwt_authn, cached, claims to headers", "0.95"),
    ] {
        let ratio = find(own).saturated.against(&find(other).saturated);
        table.row([own, other, &format!("{ratio:.2}"), goal].map(str::to_owned));
    }
    let mut costs = report::Table::new(&["", "compared with", "added CPU", "goal"]);
    for algorithm in ["RS256", "ES256"] {
        let own = format!("Gatepass, new token, {algorithm}, crypto: host");
        let other = format!("jwt_authn {algorithm}, claims to headers");
        let added = |name: &str| find(name).saturated.added_cpu().median;
        costs.row([
            own.clone(),
            other.clone(),
            format!("{:.2}", added(&own) / added(&other)),
            "1.30".into(),
        ]);
    }
    let mut totals = report::Table::new(&["", "compared with", "CPU, Envoy's included", "goal"]);
    for (own, other, goal) in [
        (CACHED, "jwt_authn, cached, claims to headers", "1.20"),
        (NATIVE, "jwt_authn, cached, claims to headers", "1.05"),
        ("Gatepass native, new token, RS256", "jwt_authn RS256, claims to headers", "1.15"),
        ("Gatepass native, new token, ES256", "jwt_authn ES256, claims to headers", "1.10"),
    ] {
        let Estimate { median, low, high } =
            find(own).saturated.cpu_against(&find(other).saturated);
        let ratio = format!("{median:.2} [{low:.2}, {high:.2}]");
        totals.row([own, other, &ratio, goal].map(str::to_owned));
    }
    let p99 = |name: &str| find(name).shared.median(|slice| slice.p99);
    format!(
        "\n{table}\n{costs}\n{totals}\np99 that Gatepass adds for a token seen before, each at 80 % of its own \
         saturation: {:.0} us.\n",
        p99(CACHED) - p99(BASELINE)
    )
}

/// A good token passes, with its user's name where the target does that; a
/// changed one does not pass any that checks.
async fn assert_does_its_work(target: &Rc<Target>, seen: &Seen, signer: &Signer) {
    let mut connection = Connection::open(target.port).await.expect("it listens");
    let good =
        String::from_utf8_lossy(&(target.requests)(0)).replace("\r\n\r\n", "\r\nx-note: 1\r\n\r\n");
    let status = connection.exchange(good.as_bytes()).await.expect("an answer");
    assert_eq!(status, 200, "{}: a good token", target.name);
    let upstream = seen.take();
    let has = |name: &str| upstream.iter().any(|(header, _)| header == name);
    let (name, checks) = (&target.name, ["Gatepass", "jwt_authn", "RS256"]);
    let is_checking = checks.iter().any(|part| name.contains(part));
    assert_eq!(has("authorization"), !is_checking, "{name}: the public token");
    let enriched = ["Gatepass", "ext_authz"].iter().any(|part| name.contains(part));
    assert_eq!(has("x-identity-token") && has("x-user-country"), enriched, "{name}: enrichment");
    let told = enriched || name.contains("claims") || name.ends_with("RS256");
    assert_eq!(has("x-jwt-sub") || has("x-consumer-custom-id"), told, "{name}: identity");
    let forged = signer.token("user-00", u64::MAX);
    let flipped = if forged.as_bytes()[forged.len() - 40] == b'A' { "B" } else { "A" };
    let forged =
        format!("{}{flipped}{}", &forged[..forged.len() - 40], &forged[forged.len() - 39..]);
    let status = connection.exchange(&tokens::request(Some(&forged), "")).await.expect("an answer");
    assert_eq!(status, if is_checking { 401 } else { 200 }, "{name}: a forged token");
}
