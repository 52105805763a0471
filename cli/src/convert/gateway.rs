//! From Envoy Gateway's SecurityPolicy: `jwt`, and `authorization`, whose first rule that
//! matches decides.

use std::collections::BTreeSet;

use gatepass::config::reader::{Document, Node};
use gatepass::config::{Problems, Variable};
use serde_json::{Map, Value, json};

use super::assemble::{Headers, Parts, assemble};
use super::condition::{Conditions, Requests, with_scope};
use super::decisions::{self, Clause, Effect};
use super::envoy::{Tokens, claim_of, claim_path, provider_of, source_of};
use super::issuers::{Issuers, Keys, inline_keys};
use super::matching::{Header, Match};
use super::need::{Access, Claim, Kind, Missing, Need};
use super::selection::{Selection, full_name};
use super::url::Url;
use super::{ConvertError, Converted, Notes};

/// Other ways in which the policy may refuse a request. A merged one has also what that of
/// its parent asks.
const OTHERS: [&str; 5] = ["basicAuth", "apiKeyAuth", "oidc", "extAuth", "mergeType"];

/// Whether a manifest is a policy that is converted.
pub(super) fn is_own(manifest: &Value) -> bool {
    let text = |name: &str| manifest.get(name).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").starts_with("gateway.envoyproxy.io/")
        && text("kind") == "SecurityPolicy"
        && manifest.pointer("/spec/jwt").is_some()
}

/// Converts one policy.
pub(super) fn from_manifests(
    manifests: &[Value],
    selection: &Selection,
) -> Result<Converted, ConvertError> {
    let mut chosen = manifests.iter().filter(|it| is_own(it) && selection.has(it));
    let (Some(policy), None) = (chosen.next(), chosen.next()) else {
        let names = manifests.iter().filter(|it| is_own(it)).map(full_name).collect();
        return Err(ConvertError::Several { what: "SecurityPolicies", names });
    };
    let mut notes = Notes::default();
    let nothing = |_: &str| Variable::Unset;
    let document = Document::new(&nothing);
    let spec = policy.get("spec").cloned().unwrap_or_default();
    let parts = read(&document.root(&spec), &full_name(policy), &mut notes);
    let problems = document.into_problems();
    match parts {
        Some(parts) if problems.is_empty() => assemble(parts?, notes),
        _ => Err(ConvertError::NotUnderstood(Problems(problems))),
    }
}

fn upstream(url: &Url) -> String {
    url.host().to_owned()
}

fn read(spec: &Node<'_>, name: &str, notes: &mut Notes) -> Option<Result<Parts, ConvertError>> {
    let place = format!("SecurityPolicy {name}");
    let mut fields = spec.fields()?;
    for field in ["targetRef", "targetRefs", "targetSelectors"] {
        fields.ignored(field);
    }
    if fields.node_of("cors").is_some() {
        notes.add_info(&place, "its cors is not carried over: leave it in the policy");
    }
    let jwt = fields.required("jwt", "jwt", |node| Some(node.clone()));
    let authorization = fields.node_of("authorization");
    let others: Vec<_> = OTHERS.iter().filter(|it| fields.node_of(it).is_some()).collect();
    fields.finish()?;
    let mut fields = jwt?.fields()?;
    let is_optional = fields.or("optional", false, Node::flag);
    let providers = fields.required("providers", "a list", |node| node.full_list(provider));
    if fields.or("failOpen", false, Node::flag)? {
        notes.add(&place, "failOpen is not carried over: a token that cannot be used is refused");
    }
    fields.finish()?;
    let mut issuers = Issuers::new(upstream);
    let mut tokens = Tokens::default();
    for (name, value, keys) in providers? {
        let mut provider = match provider_of(&value) {
            Ok(provider) => provider,
            Err(problems) => return Some(Err(ConvertError::NotUnderstood(problems))),
        };
        provider.keys = keys;
        tokens.add(&name, provider, &mut issuers, notes);
    }
    notes.add_info("service", "upstream is the name of a cluster: make one that leads to the host");
    let missing = if is_optional? { Missing::Allowed } else { Missing::Refused };
    let mut base = Need::of(Access { missing, ..issuers.any_token() });
    for other in others {
        let text = "is not carried over: nobody passes, until you take it out of what is converted";
        notes.add(&place, format_args!("its {other} {text}"));
        base = Need::Nobody;
    }
    let clauses = clauses(authorization, &place, &base, &mut issuers, notes)?;
    let rules = decisions::policy(clauses, notes);
    let token = tokens.sources(notes);
    let setting = "a filter RequestHeaderModifier with remove: [{}] to the HTTPRoutes";
    let headers = Headers { all: tokens.headers, setting, encodes_lists: true };
    Some(Ok(Parts { issuers, token, headers, rules, bypass_cors_preflight: false }))
}

type JwtProvider = (String, Value, Result<Keys, String>);

/// A provider as Envoy has it, and its keys.
fn provider(node: &Node<'_>) -> Option<JwtProvider> {
    let mut fields = node.fields()?;
    let name = fields.required("name", "a name", Node::text);
    let mut provider = Map::new();
    for field in ["issuer", "audiences"] {
        let value = fields.node_of(field).map(|node| node.value().clone());
        provider.extend(value.map(|value| (field.to_owned(), value)));
    }
    let remote = fields.optional("remoteJWKS", |node| {
        let uri = node.member("uri").and_then(|it| it.value().as_str());
        Some(match uri.map(|uri| (uri, Url::parse(uri))) {
            Some((_, Some(url))) => {
                Ok(Keys::Fetched { upstream: None, url, timeout_ms: None, cache_seconds: None })
            }
            _ => Err("its key set has no URL".to_owned()),
        })
    });
    let local = fields.optional("localJWKS", |node| {
        let inline = node.member("inline").and_then(|it| it.value().as_str());
        Some(match inline {
            Some(text) => inline_keys(text),
            None => Err("its keys are not in the policy: paste them as inline".to_owned()),
        })
    });
    let claims = fields.or("claimToHeaders", Vec::new(), |node| node.list(claim_of));
    let recompute = fields.or("recomputeRoute", false, Node::flag);
    let extract = fields.optional("extractFrom", extractor);
    fields.finish()?;
    provider.insert("claim_to_headers".to_owned(), claims?.into());
    provider.insert("clear_route_cache".to_owned(), recompute?.into());
    // Envoy Gateway has Envoy forward the token.
    provider.insert("forward".to_owned(), true.into());
    provider.extend(extract?.unwrap_or_default());
    let keys = match (remote?, local?) {
        (Some(keys), None) | (None, Some(keys)) => keys,
        _ => Err("it has not one source of keys".to_owned()),
    };
    Some((name?.to_owned(), Value::Object(provider), keys))
}

fn extractor(node: &Node<'_>) -> Option<Map<String, Value>> {
    let mut fields = node.fields()?;
    let headers =
        fields.or("headers", Vec::new(), |node| node.list(|it| source_of(it, "valuePrefix")));
    let cookies = fields.or("cookies", Vec::new(), Node::texts);
    let params = fields.or("params", Vec::new(), Node::texts);
    fields.finish()?;
    let lists = [
        ("from_headers", json!(headers?)),
        ("from_cookies", json!(cookies?)),
        ("from_params", json!(params?)),
    ];
    Some(lists.into_iter().map(|(name, list)| (name.to_owned(), list)).collect())
}

/// What is allowed and denied, in the order of the rules.
fn clauses(
    authorization: Option<Node<'_>>,
    place: &str,
    base: &Need,
    issuers: &mut Issuers,
    notes: &mut Notes,
) -> Option<Vec<Clause>> {
    let all = || Clause {
        place: place.to_owned(),
        effect: Effect::Allow(base.clone()),
        matching: Match::all(),
        except: Vec::new(),
    };
    let Some(node) = authorization else { return Some(vec![all()]) };
    let actions = [("Allow", true), ("Deny", false)];
    let mut fields = node.fields()?;
    let allows = fields.or("defaultAction", false, |node| node.one_of(&actions));
    let rules = fields.or("rules", Vec::new(), |node| node.list(|item| Some(item.clone())));
    fields.finish()?;
    let mut clauses = Vec::new();
    for (position, node) in rules?.iter().enumerate() {
        let mut fields = node.fields()?;
        let name = fields.optional("name", Node::text);
        let action = fields.required("action", "Allow or Deny", |node| node.one_of(&actions));
        let principal = fields.required("principal", "a principal", |node| Some(node.clone()));
        let operation = fields.optional("operation", operation);
        fields.finish()?;
        let place = match name? {
            Some(name) => format!("{place} rule {name}"),
            None => format!("{place} rules[{position}]"),
        };
        let mut requests = operation?.unwrap_or_else(Requests::all);
        let conditions = self::principal(&principal?, &mut requests, issuers, &place, notes)?;
        if action? {
            clauses.extend(conditions.allow(&place, &requests, base));
        } else {
            if conditions.denies_more() || requests.matching.is_partial {
                notes.add(
                    &place,
                    "uses conditions that rules do not support: it now denies regardless of them",
                );
            }
            clauses.push(conditions.deny(&place, &requests));
        }
    }
    if allows? {
        clauses.push(all());
    }
    Some(clauses)
}

fn operation(node: &Node<'_>) -> Option<Requests> {
    let mut requests = Requests::all();
    for (name, value) in node.value().as_object().into_iter().flatten() {
        let methods = value.as_array().filter(|_| name == "methods");
        let methods = methods.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned));
        match methods.map(Iterator::collect::<BTreeSet<_>>) {
            Some(methods) if !methods.is_empty() => requests.matching.methods = Some(methods),
            _ => requests.matching.is_partial = true,
        }
    }
    Some(requests)
}

fn principal(
    node: &Node<'_>,
    requests: &mut Requests,
    issuers: &mut Issuers,
    place: &str,
    notes: &mut Notes,
) -> Option<Conditions> {
    let mut conditions = Conditions::default();
    for (field, value) in node.value().as_object().into_iter().flatten() {
        match field.as_str() {
            "jwt" => jwt(&node.member("jwt")?, &mut conditions, issuers, place, notes)?,
            "headers" => {
                for header in value.as_array().into_iter().flatten() {
                    let name = header.get("name").and_then(Value::as_str);
                    let values = header.get("values").and_then(Value::as_array);
                    let one = values.filter(|values| values.len() == 1).and_then(|it| it.first());
                    match (name, one.and_then(Value::as_str)) {
                        (Some(name), Some(value)) => {
                            let name = name.to_ascii_lowercase();
                            let header = Header::Equals(value.to_owned());
                            let before = requests.matching.headers.insert(name, header);
                            requests.matching.is_partial |= before.is_some();
                        }
                        _ => conditions.has_others = true,
                    }
                }
            }
            _ => conditions.has_others = true,
        }
    }
    Some(conditions)
}

/// Claims whose text Envoy Gateway takes for a list of words.
const WORDS: [&str; 2] = ["scope", "scp"];

/// Scopes and claims, all of which a token must have.
fn jwt(
    node: &Node<'_>,
    conditions: &mut Conditions,
    issuers: &mut Issuers,
    place: &str,
    notes: &mut Notes,
) -> Option<()> {
    let mut fields = node.fields()?;
    let provider = fields.required("provider", "a provider", Node::text);
    let scopes = fields.or("scopes", Vec::new(), Node::texts);
    let claims = fields.or("claims", Vec::new(), |node| {
        node.list(|item| {
            let mut fields = item.fields()?;
            let name = fields.required("name", "a claim", Node::text);
            let kinds = [("String", Kind::Itself), ("StringArray", Kind::InList)];
            let kind = fields.or("valueType", Kind::Itself, |node| node.one_of(&kinds));
            let values = fields.required("values", "values", Node::texts);
            fields.finish()?;
            Some((name?.to_owned(), kind?, values?))
        })
    });
    fields.finish()?;
    let (scopes, claims) = (scopes?, claims?);
    conditions.token(vec![issuers.token_of(provider?, None)], None);
    if !scopes.is_empty() {
        let claims = [("scope".to_owned(), Claim::Present)].into();
        let scopes_all = scopes.into_iter().collect();
        let need = Need::of(Access { scopes_all, claims, ..Access::default() });
        conditions.token(vec![need], None);
        let text = "scopes are those of the claim scope: a token with scp instead has none";
        notes.add(place, text);
    }
    for (name, kind, values) in claims {
        of_claim(&name, kind, values, conditions, place, notes);
    }
    Some(())
}

/// A claim that must have one of these values.
fn of_claim(
    name: &str,
    kind: Kind,
    values: Vec<String>,
    conditions: &mut Conditions,
    place: &str,
    notes: &mut Notes,
) {
    let names: Vec<_> = name.split('.').collect();
    let path = claim_path(&names);
    let holds = match (names.as_slice(), kind) {
        // What is a list for Envoy Gateway is never a text.
        ([name], Kind::Itself) if WORDS.contains(name) => {
            let text = format_args!(
                "asks for {name} as a String, but Envoy Gateway makes a list of it, and no \
                 token has it: write valueType: StringArray, or scopes"
            );
            notes.add(place, text);
            Vec::new()
        }
        (["scope"], _) => vec![with_scope(values.into_iter().collect())],
        ([name], _) if WORDS.contains(name) => {
            let text =
                format_args!("the claim {name} must be a list: words in a text are not told apart");
            notes.add(place, text);
            vec![with_values(&path, kind, values)]
        }
        _ => vec![with_values(&path, kind, values)],
    };
    let fails = Access {
        claims: [(path, Claim::Absent)].into(),
        missing: Missing::Allowed,
        ..Access::default()
    };
    conditions.token(holds, Some(Need::of(fails)));
}

fn with_values(path: &str, kind: Kind, values: Vec<String>) -> Need {
    let values = Claim::Values(kind, values.into_iter().map(Value::from).collect());
    Need::of(Access { claims: [(path.to_owned(), values)].into(), ..Access::default() })
}
