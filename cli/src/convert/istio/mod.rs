//! From Istio's RequestAuthentication with AuthorizationPolicy.
//!
//! A token that is sent must be valid for one of the issuers, a request without one has
//! no principal. What a DENY policy matches is refused; then, if there are ALLOW
//! policies, what none of them matches (authorization_policy.proto).

mod authentication;
mod policy;
mod values;

use std::collections::BTreeSet;

use gatepass::config::reader::Document;
use gatepass::config::{Problems, Variable};
use serde_json::Value;

use super::assemble::{Headers, Parts, assemble};
use super::decisions::{self, Clause, Effect};
use super::envoy::Tokens;
use super::issuers::Issuers;
use super::matching::Match;
use super::need::{Access, Missing, Need};
use super::selection::{Selection, full_name};
use super::url::Url;
use super::{ConvertError, Converted, Notes};

/// Claims whose text Istio always takes for a list of words.
const WORDS: [&str; 2] = ["permission", "scope"];

/// What Go's `strconv.ParseBool` takes for true.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// Whether a manifest is Istio's.
pub(super) fn is_own(manifest: &Value) -> bool {
    let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").starts_with("security.istio.io/")
        && ["RequestAuthentication", "AuthorizationPolicy"].contains(&text("kind"))
}

/// Converts the policies of one workload.
pub(super) fn from_manifests(
    manifests: &[Value],
    selection: &Selection,
) -> Result<Converted, ConvertError> {
    let mut notes = Notes::default();
    let own = manifests.iter().filter(|it| is_own(it));
    let (chosen, others): (Vec<_>, Vec<_>) = own.partition(|it| selection.has(it));
    one_place(&chosen)?;
    for other in others {
        notes.add("the file", format_args!("{} is left out, as asked for", full_name(other)));
    }
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let mut issuers = Issuers::new(upstream);
    let mut tokens = Tokens::default();
    let mut words = BTreeSet::from(WORDS.map(str::to_owned));
    for manifest in of_kind(&chosen, "RequestAuthentication") {
        let spec = spec(manifest);
        let root = document.root(&spec);
        authentication::read(&root, &mut issuers, &mut tokens, &mut words, &mut notes)?;
    }
    if !issuers.is_empty() {
        let text = "keys are fetched by the proxy, no longer by istiod: each upstream needs a \
                    ServiceEntry";
        notes.add_info("service", text);
    }
    let clauses = clauses(&chosen, &document, &words, &mut issuers, &mut notes);
    if of_kind(&chosen, "RequestAuthentication").next().is_none() {
        let text = "there is none in the file, so that no token could be verified".to_owned();
        return Err(ConvertError::Refused { place: "RequestAuthentication".to_owned(), text });
    }
    let problems = document.into_problems();
    if !problems.is_empty() {
        return Err(ConvertError::NotUnderstood(Problems(problems)));
    }
    about_hosts(&clauses, &mut notes);
    let rules = decisions::policy(clauses, &mut notes);
    let token = tokens.sources(&mut notes);
    let setting = "headers: {request: {remove: [{}]}} to the routes of the VirtualService";
    let headers = Headers { all: tokens.headers, setting, encodes_lists: true };
    let parts = Parts { issuers, token, headers, rules, bypass_cors_preflight: false };
    assemble(parts, notes)
}

fn of_kind<'a>(manifests: &[&'a Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    manifests.iter().copied().filter(move |it| it.get("kind").is_some_and(|own| own == kind))
}

/// What is denied, then what is allowed: all, if no policy allows.
fn clauses(
    chosen: &[&Value],
    document: &Document<'_>,
    words: &BTreeSet<String>,
    issuers: &mut Issuers,
    notes: &mut Notes,
) -> Vec<Clause> {
    let base = Need::of(Access { missing: Missing::Allowed, ..issuers.any_token() });
    let (mut denials, mut allowances) = (Vec::new(), None);
    for manifest in of_kind(chosen, "AuthorizationPolicy") {
        let place = format!("AuthorizationPolicy {}", full_name(manifest));
        let dry = manifest.pointer("/metadata/annotations/istio.io~1dry-run");
        let is_dry =
            |dry: &Value| *dry == true || dry.as_str().is_some_and(|it| TRUE.contains(&it));
        if dry.is_some_and(is_dry) {
            notes.add_info(&place, "is left out: it is a dry run");
            continue;
        }
        let spec = spec(manifest);
        let root = document.root(&spec);
        let Some(read) = policy::read(&root, &place, &base, words, issuers, notes) else {
            continue;
        };
        match read {
            policy::Policy::Deny(clauses) => denials.extend(clauses),
            policy::Policy::Allow(clauses) => {
                allowances.get_or_insert_with(Vec::new).extend(clauses);
            }
            policy::Policy::Audit => notes.add_info(&place, "is left out: it only audits"),
        }
    }
    if denials.is_empty() && allowances.is_none() {
        let text = "there is no AuthorizationPolicy in the file: requests without a token pass";
        notes.add("RequestAuthentication", text);
    }
    let mut clauses = denials;
    clauses.extend(allowances.unwrap_or_else(|| {
        vec![Clause {
            place: "RequestAuthentication".to_owned(),
            effect: Effect::Allow(base),
            matching: Match::all(),
            except: Vec::new(),
        }]
    }));
    clauses
}

/// Policies of several workloads are several configurations.
fn one_place(chosen: &[&Value]) -> Result<(), ConvertError> {
    let target = |it: &Value| {
        let spec = |name: &str| it.get("spec").and_then(|spec| spec.get(name)).cloned();
        let namespace = it.pointer("/metadata/namespace").cloned();
        (namespace, spec("selector"), spec("targetRef"), spec("targetRefs"))
    };
    let mut targets = chosen.iter().map(|it| target(it));
    let first = targets.next();
    if targets.all(|it| Some(it) == first) {
        return Ok(());
    }
    let names = chosen.iter().map(|it| full_name(it)).collect();
    Err(ConvertError::Several { what: "policies of Istio", names })
}

fn spec(manifest: &Value) -> Value {
    let spec = manifest.get("spec").cloned().unwrap_or_default();
    if spec.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        super::envoy::snake(&spec, false)
    }
}

fn upstream(url: &Url) -> String {
    format!("outbound|{}||{}", url.port(), url.host())
}

fn about_hosts(clauses: &[Clause], notes: &mut Notes) {
    let mut all = clauses.iter().flat_map(|it| std::iter::once(&it.matching).chain(&it.except));
    if all.any(|it| it.hosts.is_some()) {
        let text = "hosts are compared without their port and a dot at their end: what is allowed \
                    for HOST alone, without HOST:* beside it, is refused";
        notes.add("the file", text);
    }
}
