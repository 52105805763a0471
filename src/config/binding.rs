//! `providers.*.binding`: how clients prove possession of the key that a token is bound
//! to.

use super::reader::Node;
use super::reserved;
use super::values::{header_name, network};
use crate::binding::{Binding, CertificateSource, Dpop, Nonces, PublicOrigin};
use crate::http::HeaderName;
use crate::secret::Secret;
use crate::time::Span;

/// Reads `binding`. `clock_skew` is the provider's.
pub fn read(node: &Node<'_>, clock_skew: Option<u32>) -> Option<Binding> {
    let clock_skew = clock_skew.map_or(Span::ZERO, Span::from_secs);
    let mut fields = node.fields()?;
    let certificate = fields.or("mtls", None, mtls);
    let dpop = fields.optional("dpop", |node| dpop(node, clock_skew));
    let required = fields.condition("required", Node::flag);
    let node = fields.node().clone();
    fields.finish()?;
    let binding =
        Binding { certificate: certificate?, dpop: dpop?, required: required?.unwrap_or(false) };
    if binding.certificate.is_none() && binding.dpop.is_none() {
        return node.reject_as("no way to show a key", "mtls, dpop, or both");
    }
    Some(binding)
}

#[allow(clippy::option_option)] // no certificate at all is a value
fn mtls(node: &Node<'_>) -> Option<Option<CertificateSource>> {
    match node.value() {
        serde_json::Value::Bool(true) => return Some(Some(CertificateSource::Connection)),
        serde_json::Value::Bool(false) => return Some(None),
        serde_json::Value::Object(_) => {}
        _ => return node.reject("true, false or {header: NAME, from: [networks]}"),
    }
    let mut fields = node.fields()?;
    let name = fields.required("header", CERTIFICATE_HEADER, certificate_header);
    const FROM: &str = "the networks of those who may say which certificate a client has";
    let from = fields.required("from", FROM, |node| node.full_list(network));
    fields.finish()?;
    Some(Some(CertificateSource::Header { name: name?, from: from? }))
}

/// The values that [`certificate_header`] accepts.
const CERTIFICATE_HEADER: &str = "the header in which a proxy passes on the client's certificate, \
                                  such as x-forwarded-client-cert";

/// A header that means something else is never a certificate, and whoever sends it would
/// be asked for one.
fn certificate_header(node: &Node<'_>) -> Option<HeaderName> {
    let name = header_name(node)?;
    let is_credential = ["authorization", "dpop"].contains(&name.as_str());
    let is_taken = is_credential || reserved::meaning(&name).is_some();
    if is_taken && !name.as_str().contains("cert") {
        return node.reject(CERTIFICATE_HEADER);
    }
    Some(name)
}

fn dpop(node: &Node<'_>, clock_skew: Span) -> Option<Dpop> {
    let mut fields = node.fields()?;
    let keys = fields.or("nonce_keys", Vec::new(), |node| node.full_list(nonce_key));
    let max_age = fields.or("max_age_seconds", 60, |node| node.integer(1..=Dpop::LONGEST_AGE));
    let origins = fields.or("public_origin", Vec::new(), |node| match node.value() {
        serde_json::Value::Array(_) => node.full_list(public_origin),
        _ => public_origin(node).map(|origin| vec![origin]),
    });
    fields.finish()?;
    Some(Dpop {
        nonces: Nonces::new(keys?),
        max_age: Span::from_secs(max_age?),
        clock_skew,
        origins: origins?,
    })
}

fn public_origin(node: &Node<'_>) -> Option<PublicOrigin> {
    let origin = node.value().as_str().and_then(PublicOrigin::parse);
    origin.or_else(|| node.reject("what clients see, such as https://shop.example, or a list"))
}

fn nonce_key(node: &Node<'_>) -> Option<Secret<String>> {
    const SHORTEST: usize = 16;
    let key = node.secret()?;
    if key.expose().len() < SHORTEST {
        let found = format_args!("a secret of {} bytes", key.expose().len());
        return node.reject_as(found, format_args!("a secret of at least {SHORTEST} bytes"));
    }
    Some(key)
}
