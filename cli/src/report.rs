//! An explanation, for people and for programs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepass::callout::CalloutReply;
use gatepass::event::Stage;
use gatepass::http::LocalReply;
use gatepass::token::IDENTITY_TYPES;
use gatepass::verdict::{HeaderEdits, Verdict};
use serde_json::{Map, Value, json};

use crate::Output;
use crate::callouts;
use crate::comparison::Comparison;
use crate::configuration::Configuration;
use crate::explanation::{Exchange, Explanation, Outcome};
use crate::text::Escaped;

/// The data of a report.
pub struct Report<'a> {
    /// The configuration.
    pub configuration: &'a Configuration,
    /// The outcome of the request.
    pub explanation: &'a Explanation,
}

/// The progress of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Passed,
    Denied,
    Waiting,
}

impl Progress {
    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Denied => "denied",
            Self::Waiting => "waiting",
        }
    }
}

impl Report<'_> {
    /// For programs.
    pub fn json(&self, show_tokens: bool) -> Output {
        let it = self.explanation;
        let rule = it.trace.rule;
        let rule =
            rule.map(|position| json!({ "position": position, "rule": self.rule(position) }));
        let token = it.token.as_ref().map(|token| {
            json!({
                "bytes": token.bytes, "parts": token.parts,
                "header": token.header, "claims": token.claims,
            })
        });
        let steps = self.steps();
        let steps =
            steps.iter().map(|(name, progress)| json!({ "step": name, "result": progress.name() }));
        let mut report = json!({
            "outcome": it.outcome.name(),
            "request": { "method": it.request.0, "path": self.target() },
            "rule": rule,
            "token": token,
            "provider": it.provider,
            "checks": it.checks.iter().map(Comparison::json).collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
            "callouts": it.callouts.iter().map(exchange_json).collect::<Vec<_>>(),
            "log": it.log,
        });
        let more = match &it.outcome {
            Outcome::Decided(Verdict::Forward(edits)) => forwarded_json(edits, show_tokens),
            Outcome::Decided(Verdict::Deny(_, reply) | Verdict::Answer(reply)) => {
                json!({ "answer": answer_json(reply) })
            }
            Outcome::RefusedByHost(status) => json!({ "answer": { "status": status } }),
            Outcome::ReadsBody | Outcome::Login | Outcome::NeedsReply(_) => json!({}),
        };
        if let (Value::Object(report), Value::Object(more)) = (&mut report, more) {
            report.extend(more);
            if let Some(denial) = it.outcome.denial() {
                let denial = json!({
                    "code": denial.code().name(), "detail": denial.to_string(),
                    "step": it.trace.stage.name(),
                    "consumer": it.trace.consumer.as_ref().map(|consumer| consumer.name()),
                });
                report.insert("denial".to_owned(), denial);
            }
        }
        Output::new(report.to_string(), it.outcome.ending())
    }

    /// For people.
    pub fn text(&self, show_tokens: bool) -> Output {
        let it = self.explanation;
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<9} {}", Escaped(value));
        };
        line("request", &format!("{} {}", it.request.0, self.target()));
        match it.trace.rule {
            Some(position) => {
                line("rule", &format!("{position}: {}", self.rule(position).unwrap_or_default()));
            }
            None if it.outcome.is_without_rule() => {}
            None if it.trace.stage <= Stage::Rule => {}
            None => line("rule", "none matches: a valid token is needed"),
        }
        match &it.token {
            Some(token) => {
                let parts: Vec<_> = token.parts.iter().map(ToString::to_string).collect();
                line("token", &format!("{} bytes ({})", token.bytes, parts.join(".")));
                if !token.header.is_empty() {
                    line("", &format!("header {}", Value::from(token.header.clone())));
                    line("", &format!("claims {}", Value::from(token.claims.clone())));
                }
            }
            None => line("token", "none, or none that can be read"),
        }
        if let Some(provider) = &it.provider {
            line("provider", provider);
        }
        for (position, check) in it.checks.iter().enumerate() {
            line(if position == 0 { "checks" } else { "" }, &check.text());
        }
        for exchange in &it.callouts {
            line("callout", &exchange_text(exchange));
        }
        for entry in &it.log {
            line("log", &entry.to_string());
        }
        let steps = self.steps();
        let steps = steps.iter().map(|(name, progress)| match progress {
            Progress::Passed => (*name).to_owned(),
            other => format!("{name}: {}", other.name().to_uppercase()),
        });
        line("steps", &steps.collect::<Vec<_>>().join(", "));
        text.push('\n');
        self.end(&mut text, show_tokens);
        Output::new(text, it.outcome.ending())
    }

    fn end(&self, text: &mut String, show_tokens: bool) {
        let it = self.explanation;
        let _ = match &it.outcome {
            Outcome::RefusedByHost(status) => {
                let host = self.configuration.host.name();
                writeln!(text, "refused by {host} itself: {status}; the filter never sees it")
            }
            Outcome::Decided(Verdict::Forward(edits)) => {
                match it.outcome.denial() {
                    Some(denial) => {
                        let code = denial.code();
                        let _ = writeln!(text, "forwarded in shadow mode; else denied: {code}");
                    }
                    None => text.push_str("forwarded\n"),
                }
                forwarded_text(edits, show_tokens, text);
                Ok(())
            }
            Outcome::Decided(Verdict::Deny(denial, reply)) => {
                let (code, detail) = (denial.code(), denial.to_string());
                let _ = writeln!(text, "denied: {} {code}: {}", reply.status, Escaped(&detail));
                answer_text(reply, text);
                Ok(())
            }
            Outcome::Decided(Verdict::Answer(reply)) => {
                let _ = writeln!(text, "answered by the gateway: {}", reply.status);
                answer_text(reply, text);
                Ok(())
            }
            Outcome::Login => {
                writeln!(text, "a login: the service is asked, and the tokens it issues are sealed")
            }
            Outcome::ReadsBody => {
                writeln!(text, "authorized: the gateway reads the body and revokes what it says")
            }
            Outcome::NeedsReply(option) => writeln!(
                text,
                "undecided: depends on the reply, to be given with {} (a file, a status, or \
                 `failed`)",
                option.unwrap_or("an option")
            ),
        };
    }

    /// The steps that were taken. Where a step has nothing to do it passes.
    fn steps(&self) -> Vec<(&'static str, Progress)> {
        let it = self.explanation;
        let progress = match it.outcome {
            Outcome::RefusedByHost(_) => return Vec::new(),
            Outcome::NeedsReply(_) => Progress::Waiting,
            _ if it.outcome.denial().is_some() => Progress::Denied,
            _ => Progress::Passed,
        };
        let last = it.trace.stage;
        // Authorization is reported once, where it ended.
        let is_reported = |stage: &Stage| {
            *stage < last && stage.name() != last.name() && *stage != Stage::AuthorizeUser
        };
        let passed = Stage::ALL.into_iter().filter(is_reported);
        let passed = passed.map(|stage| (stage.name(), Progress::Passed));
        passed.chain([(last.name(), progress)]).collect()
    }

    fn rule(&self, position: usize) -> Option<&Value> {
        self.configuration.document.get("rules")?.get(position)
    }

    /// Path and query; values in the query may be tokens.
    fn target(&self) -> String {
        let target = &self.explanation.request.1;
        match target.split_once('?') {
            Some((path, query)) => {
                let names = query.split('&').map(|pair| match pair.split_once('=') {
                    Some((name, _)) => format!("{name}=..."),
                    None => "...".to_owned(),
                });
                format!("{path}?{}", names.collect::<Vec<_>>().join("&"))
            }
            None => target.clone(),
        }
    }
}

fn exchange_json(exchange: &Exchange) -> Value {
    let Exchange { purpose, callout, reply } = exchange;
    let headers: Vec<_> = callout.headers.iter().map(|(name, _)| name.as_str()).collect();
    let reply = reply.as_ref().map(|(reply, from)| match reply {
        CalloutReply::Answer(answer) => {
            json!({ "status": answer.status, "bytes": answer.body.len(), "from": from })
        }
        CalloutReply::Failed(failure) => json!({ "failed": failure.to_string(), "from": from }),
    });
    json!({
        "for": callouts::name(purpose),
        "service": callout.service.name,
        "method": callout.method,
        "authority": callout.service.authority,
        "path": callout.path,
        "headers": headers,
        "reply": reply,
    })
}

fn exchange_text(exchange: &Exchange) -> String {
    let Exchange { purpose, callout, reply } = exchange;
    let service = &callout.service;
    let mut text = format!(
        "{}: {} {}://{}{}",
        callouts::name(purpose),
        callout.method,
        service.scheme.as_str(),
        service.authority,
        callout.path,
    );
    // The forms of a reply that are understood say nothing about this call.
    let names = callout.headers.iter().map(|(name, _)| name.as_str());
    let names: Vec<_> = names.filter(|name| *name != "accept").collect();
    if !names.is_empty() {
        let _ = write!(text, ", with {}", names.join(", "));
    }
    let _ = match reply {
        Some((CalloutReply::Answer(answer), from)) => {
            write!(text, " -> {}, {} bytes ({from})", answer.status, answer.body.len())
        }
        Some((CalloutReply::Failed(failure), from)) => write!(text, " -> {failure} ({from})"),
        None => write!(text, " -> ?"),
    };
    text
}

fn forwarded_json(edits: &HeaderEdits, show_tokens: bool) -> Value {
    let sanitized = edits.sanitized();
    let mut set = Map::new();
    let mut identity = Value::Null;
    for (name, value) in edits.set().iter() {
        let text = String::from_utf8_lossy(value);
        if let Some(token) = identity_token(&text) {
            identity = token;
        }
        set.insert(name.to_string(), shown(&text, show_tokens).into());
    }
    let removed: Vec<_> = sanitized.clear.iter().collect();
    let rewritten: Vec<_> = sanitized.rewrite.iter().map(|(name, _)| name.as_ref()).collect();
    let path = sanitized.path.as_ref().map(|_| true);
    json!({
        "removed": removed, "rewritten": rewritten,
        "query_rewritten": path.unwrap_or_default(),
        "set": set, "identity": identity,
    })
}

fn forwarded_text(edits: &HeaderEdits, show_tokens: bool, text: &mut String) {
    let sanitized = edits.sanitized();
    for name in sanitized.clear.iter() {
        let _ = writeln!(text, "  removed    {}", Escaped(name));
    }
    for (name, _) in &sanitized.rewrite {
        let _ = writeln!(text, "  rewritten  {name}");
    }
    if sanitized.path.is_some() {
        text.push_str("  rewritten  the query, without the token\n");
    }
    for (name, value) in edits.set().iter() {
        let value = String::from_utf8_lossy(value);
        let _ = writeln!(text, "  set        {name}: {}", Escaped(&shown(&value, show_tokens)));
        if let Some(token) = identity_token(&value) {
            let _ = writeln!(
                text,
                "               header {}",
                token.get("header").unwrap_or(&Value::Null)
            );
            let claims = token.get("claims").and_then(Value::as_object);
            for (claim, value) in claims.into_iter().flatten() {
                let line = format!("{claim}: {value}");
                let _ = writeln!(text, "               {}", Escaped(&line));
            }
        }
    }
}

/// A header's value; of a token its length, unless it is to be shown.
fn shown(value: &str, show_tokens: bool) -> String {
    if identity_token(value).is_some() && !show_tokens {
        format!("(identity token, {} bytes)", value.len())
    } else {
        value.to_owned()
    }
}

/// The header and the claims of an identity token.
pub fn identity_token(text: &str) -> Option<Value> {
    let mut parts = text.split('.');
    let decoded = |part: Option<&str>| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part?).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let (header, claims) = (decoded(parts.next())?, decoded(parts.next())?);
    let typ = header.get("typ")?.as_str()?;
    IDENTITY_TYPES.contains(&typ).then(|| json!({ "header": header, "claims": claims }))
}

fn answer_json(reply: &LocalReply) -> Value {
    let headers: Map<_, _> =
        reply.headers.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
    json!({
        "status": reply.status, "headers": headers,
        "body": String::from_utf8_lossy(&reply.body),
    })
}

fn answer_text(reply: &LocalReply, text: &mut String) {
    for (name, value) in &reply.headers {
        let _ = writeln!(text, "  {name}: {}", Escaped(value));
    }
    if !reply.body.is_empty() {
        let _ = writeln!(text, "  {}", Escaped(&String::from_utf8_lossy(&reply.body)));
    }
}
