//! The configurations in `examples/providers`, by the core: each accepts the tokens that
//! its provider issues for an API, and refuses those that it issues for other ends; keys
//! are fetched from services that answer as the providers document.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gatepass::callout::{Answer, CalloutReply};
use gatepass::http::Fields;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::Value;

use crate::documented::{Asked, Key, Provider, all};
use crate::load;
use crate::support::{ENVOY, START, World, gateway_key, head};

#[test]
fn every_example_accepts_what_its_provider_issues_and_nothing_else() {
    let wrong: Vec<String> = all(START).iter().flat_map(run).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_example_is_tried() {
    let directory = Path::new(env!("CARGO_WORKSPACE_DIR")).join("examples/providers");
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let there: BTreeSet<String> = names.map(|name| name.into_string().unwrap()).collect();
    let tried = all(START).into_iter().map(|provider| format!("{}.yaml", provider.file));
    assert_eq!(tried.collect::<BTreeSet<_>>(), there);
}

/// The cases that went another way.
fn run(provider: &Provider) -> Vec<String> {
    let mut configuration = provider.configuration();
    load(&configuration);
    configuration["identity_token"]["signing_keys"][0]["private_key"] = gateway_key("ES256");
    let key = Key::generate(provider.algorithm);
    let mut world = World::new(&configuration, ENVOY);
    world.set_clock(START);
    let mut wrong = Vec::new();
    for case in &provider.cases {
        let (about, path, changes, expected) = case;
        let claims = provider.claims(changes, START);
        let field = provider.field(case, &claims, &key);
        let fields = field.iter().map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<_> = fields.chain([(":path", *path)]).collect();
        let mut step = world.begin(head(&fields));
        for _ in 0..4 {
            let Step::Wait(dispatch, _) = &step else { break };
            let head = dispatch.callout.head();
            let host = head.iter().find(|it| it.0 == ":authority").map(|it| ("host", it.1));
            let fields: Vec<_> = head.iter().copied().chain(host).collect();
            let body = String::from_utf8_lossy(dispatch.callout.body()).into_owned();
            let (method, path) = (dispatch.callout.method, dispatch.callout.path.as_str());
            let asked = Asked { method, path, body: &body, fields: &fields };
            let (status, body) = provider.answer(&asked, &key);
            let (body, fields) = (body.into_bytes(), Fields::default());
            let reply = CalloutReply::Answer(Answer { status, cache_control: None, fields, body });
            step = world.answer(step, &reply);
        }
        let outcome = outcome(step);
        if outcome != *expected {
            wrong.push(format!("{}: {about}: {outcome}, not {expected}", provider.file));
        }
    }
    wrong
}

/// 200 for a request that is forwarded, else the denial's code.
fn outcome(step: Step) -> String {
    match step {
        Step::Done(Verdict::Forward(_), _) => "200".to_owned(),
        Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            body["code"].as_str().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}
