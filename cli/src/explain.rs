//! `explain`: what becomes of a request, decided by the gateway itself.

use gatepass::bearer::check_form;
use gatepass::callout::CalloutReply;
use gatepass::event::{Event, Stage};
use gatepass::host::RequestId;
use gatepass::http::RequestHead;
use gatepass::pipeline::{CalloutPurpose, Dispatch, Pipeline, Settings, Step};
use gatepass::time::UnixTime;
use gatepass::token::Untrusted;
use gatepass::verdict::Verdict;
use serde_json::{Map, Value};

use crate::arguments::{Explain, HostKind, Replies};
use crate::comparison::Checked;
use crate::configuration::Configuration;
use crate::explanation::{Exchange, Explanation, Outcome, TokenForm};
use crate::failure::Failure;
use crate::time::moment;
use crate::{Output, callouts, envoy, report, system};

/// `explain`.
pub fn run(arguments: &Explain) -> Result<Output, Failure> {
    let source = &arguments.source;
    let configuration = Configuration::one(&source.config, &source.reading)?;
    let now = arguments.at.as_deref().map_or_else(|| Ok(system::now()), moment)?;
    let (settings, fields) = (configuration.settings()?, fields(arguments, configuration.host)?);
    let original = RequestHead::new(fields.clone());
    let request = (lossy(original.method()), lossy(original.first(":path").unwrap_or_default()));
    let received = match configuration.host {
        HostKind::Envoy => envoy::received(fields),
        HostKind::Kong | HostKind::KongFilter => Ok(fields),
    };
    let head = match received {
        Ok(fields) => RequestHead::new(fields),
        Err(status) => {
            let explanation = Explanation::of(request, Outcome::RefusedByHost(status));
            return Ok(output(arguments, &configuration, &explanation));
        }
    };
    let mut explanation = decide(&configuration, settings, head.clone(), &arguments.replies, now)?;
    explanation.request = request;
    if let (HostKind::Envoy, Outcome::Decided(Verdict::Deny(_, reply) | Verdict::Answer(reply))) =
        (configuration.host, &mut explanation.outcome)
    {
        envoy::sent(reply, &head);
    }
    Ok(output(arguments, &configuration, &explanation))
}

fn output(arguments: &Explain, configuration: &Configuration, explanation: &Explanation) -> Output {
    let report = report::Report { configuration, explanation };
    if arguments.json {
        report.json(arguments.show_tokens)
    } else {
        report.text(arguments.show_tokens)
    }
}

/// Lets a gateway decide on a request.
pub fn decide(
    configuration: &Configuration,
    settings: Settings,
    head: RequestHead,
    replies: &Replies,
    now: UnixTime,
) -> Result<Explanation, Failure> {
    // Constant, so that the output for a request is reproducible.
    const SEED: [u8; 16] = *b"gatepass explain";
    let document = &configuration.document;
    let request = (lossy(head.method()), lossy(head.first(":path").unwrap_or_default()));
    let mut explanation = Explanation::of(request, Outcome::NeedsReply(None));
    let mut gateway = Pipeline::new(settings, configuration.door().capabilities(), SEED);
    gateway.take_log();
    let mut step = gateway.begin(RequestId::default(), head.clone(), now);
    explanation.outcome = loop {
        let (Dispatch { id, callout }, waiting) = match step {
            Step::Wait(dispatch, waiting) => (dispatch, waiting),
            Step::Done(verdict, trace) => {
                explanation.trace = trace;
                break Outcome::Decided(verdict);
            }
            Step::Receive(submission) => {
                explanation.trace = submission.trace().clone();
                break if submission.is_login() { Outcome::Login } else { Outcome::ReadsBody };
            }
            // There is no other request whose callout could be joined.
            Step::Join(_) => break Outcome::NeedsReply(None),
        };
        explanation.trace = waiting.trace().clone();
        let Some(purpose) = gateway.purpose_of(id) else { break Outcome::NeedsReply(None) };
        let option = callouts::option(&purpose);
        let is_login = purpose == CalloutPurpose::Login;
        let given = replies.to(&purpose, document)?;
        let reply = given.map(|given| (given.reply, given.from));
        let outcome = reply
            .as_ref()
            .and_then(|(reply, _)| gateway.complete(id, &bounded(reply, &gateway), now));
        explanation.callouts.push(Exchange { purpose, callout, reply });
        step = match outcome {
            Some(outcome) => gateway.resume(waiting, &outcome, now),
            None if is_login => break Outcome::Login,
            None => break Outcome::NeedsReply(option),
        };
    };
    inspect(&mut explanation, &gateway, &head, document, now);
    let events = gateway.take_log().into_iter();
    let others = events.filter(|event| !matches!(event, Event::Denied(_) | Event::WouldDeny(_)));
    explanation.log = others.map(|event| event.json()).collect();
    Ok(explanation)
}

/// Adds the token of the request, and its checks if the gateway got to it.
fn inspect(
    explanation: &mut Explanation,
    gateway: &Pipeline,
    head: &RequestHead,
    document: &Value,
    now: UnixTime,
) {
    let trace = &explanation.trace;
    let Some(token) = gateway.token_in(RequestId::default(), head, trace, now) else { return };
    explanation.token = check_form(&token).is_ok().then(|| TokenForm::of(&token));
    let Some(opened) = gateway.unsealed(&token).filter(|_| trace.stage >= Stage::Token) else {
        return;
    };
    let provider = trace.provider.clone().or_else(|| {
        let token = Untrusted::parse(&opened, usize::MAX).ok()?;
        gateway.provider_of(&token)
    });
    let name = provider.map(|provider| provider.name.clone());
    let keys = name.as_ref().and_then(|own| keys_of(own, &explanation.callouts, document));
    let mut purposes = explanation.callouts.iter().map(|exchange| &exchange.purpose);
    let is_introspected = purposes.any(|it| *it == CalloutPurpose::Introspection);
    explanation.provider = name;
    explanation.checks =
        Checked { gateway, head, trace, keys: keys.as_ref(), is_introspected, now }.all(&opened);
}

/// The keys of a provider, if a reply has them, or the configuration.
fn keys_of(provider: &str, callouts: &[Exchange], document: &Value) -> Option<Value> {
    let fetched = callouts.iter().find_map(|exchange| match exchange {
        Exchange {
            purpose: CalloutPurpose::Keys(own),
            reply: Some((CalloutReply::Answer(it), _)),
            ..
        } if own == provider => serde_json::from_slice::<Value>(&it.body).ok(),
        _ => None,
    });
    fetched.or_else(|| document.get("providers")?.get(provider)?.get("local_jwks").cloned())
}

/// A reply as a host hands it over: not if it is too long.
fn bounded(reply: &CalloutReply, gateway: &Pipeline) -> CalloutReply {
    use gatepass::callout::CalloutFailure::TooLarge;
    let limit = gateway.max_reply_bytes();
    match reply {
        CalloutReply::Answer(answer) if answer.body.len() > limit => {
            CalloutReply::Failed(TooLarge { limit })
        }
        reply => reply.clone(),
    }
}

/// The header fields of the request that the options describe, as it is sent.
fn fields(arguments: &Explain, host: HostKind) -> Result<Vec<envoy::Field>, Failure> {
    let pseudo = [
        (":method", &arguments.method),
        (":path", &arguments.path),
        (":authority", &arguments.authority),
        (":scheme", &"https".to_owned()),
    ];
    let mut fields: Vec<_> =
        pseudo.map(|(name, value)| (name.to_owned(), value.clone().into_bytes())).to_vec();
    for header in &arguments.headers {
        let field = header.split_once(':').filter(|(name, _)| !name.trim().is_empty());
        let (name, value) = field.ok_or_else(|| Failure::Argument {
            name: "--header",
            // It may hold a token.
            found: format!("{} bytes without a name and a colon", header.len()),
            accepted: "Name: value",
        })?;
        let name = match host {
            HostKind::Envoy => name.trim().to_ascii_lowercase(),
            // As the client wrote it.
            HostKind::Kong | HostKind::KongFilter => name.trim().to_owned(),
        };
        fields.push((name, value.trim().as_bytes().to_vec()));
    }
    if let Some(file) = &arguments.token {
        let token = system::read(file)?;
        let value = format!("Bearer {}", token.trim()).into_bytes();
        fields.push(("authorization".to_owned(), value));
    }
    Ok(fields)
}

impl TokenForm {
    /// The form of a token, not its validity.
    fn of(token: &[u8]) -> Self {
        let parts = token.split(|byte| *byte == b'.').map(<[u8]>::len).collect();
        let mut form = Self { bytes: token.len(), parts, header: Map::new(), claims: Map::new() };
        if let Ok(token) = Untrusted::parse(token, usize::MAX) {
            let header = [
                ("alg", Some(token.algorithm_name())),
                ("kid", token.key_id()),
                ("typ", token.typ()),
            ];
            let header = header
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
            form.header = header.collect();
            let claims = token.unverified_claims();
            let shown = ["iss", "aud", "exp", "nbf", "iat"].into_iter();
            let shown =
                shown.filter_map(|name| Some((name.to_owned(), claims.get(name)?.to_value())));
            form.claims = shown.collect();
        }
        form
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
