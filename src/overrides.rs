//! The identity for one service: `identity_token`, overridden by `identity` of the
//! resource and of the rule.

use std::rc::Rc;

use crate::http::HeaderName;
use crate::time::Span;

/// The header that carries an identity token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityHeader {
    /// The header.
    pub name: HeaderName,
    /// The authentication scheme before the token, without its space; empty when the
    /// token is the whole value.
    pub scheme: String,
}

impl IdentityHeader {
    /// The header's value.
    pub fn value(&self, token: String) -> String {
        if self.scheme.is_empty() { token } else { format!("{} {token}", self.scheme) }
    }
}

/// `identity` of a rule or a resource: overrides `identity_token`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The header.
    pub header: Option<IdentityHeader>,
    /// `aud`.
    pub audiences: Option<Vec<String>>,
    /// Upper bound of `scope`.
    pub scopes: Option<Vec<String>>,
    /// How long the token is valid.
    pub ttl: Option<Span>,
    /// Keeps only these of the mapped, copied and set claims.
    pub claims: Option<Vec<String>>,
    /// Whether the public token is forwarded.
    pub forward: Option<bool>,
}

/// The settings of `identity_token` itself.
#[derive(Clone, Debug)]
pub struct TokenDefaults {
    /// The header.
    pub header: IdentityHeader,
    /// `aud`; more than one becomes a list.
    pub audiences: Vec<String>,
    /// Upper bound of `scope`, if any.
    pub scopes: Option<Vec<String>>,
    /// How long a token is valid.
    pub ttl: Span,
}

/// The identity that a request needs: the overrides of the resource and of the rule.
/// Equal keys mean the same identity for the same public token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TemplateKey {
    /// From the rule, which takes precedence.
    pub rule: Option<Rc<Overrides>>,
    /// From the resource.
    pub resource: Option<Rc<Overrides>>,
}

impl TemplateKey {
    fn find<'a, T>(&'a self, field: impl Fn(&'a Overrides) -> Option<T>) -> Option<T> {
        let of = |overrides: &'a Option<Rc<Overrides>>| overrides.as_deref().and_then(&field);
        of(&self.rule).or_else(|| of(&self.resource))
    }

    /// Whether the public token is forwarded, if they say so.
    pub fn forward(&self) -> Option<bool> {
        self.find(|overrides| overrides.forward)
    }

    /// The header for the token.
    pub fn header<'a>(&'a self, defaults: &'a TokenDefaults) -> &'a IdentityHeader {
        self.find(|overrides| overrides.header.as_ref()).unwrap_or(&defaults.header)
    }

    /// `aud`; more than one becomes a list.
    pub(crate) fn audiences<'a>(&'a self, defaults: &'a TokenDefaults) -> &'a [String] {
        let own = self.find(|overrides| overrides.audiences.as_deref());
        own.unwrap_or(&defaults.audiences)
    }

    /// Upper bound of `scope`, if any.
    pub fn scopes<'a>(&'a self, defaults: &'a TokenDefaults) -> Option<&'a [String]> {
        let own = self.find(|overrides| overrides.scopes.as_deref());
        own.or(defaults.scopes.as_deref())
    }

    /// How long it is valid.
    pub(crate) fn ttl(&self, defaults: &TokenDefaults) -> Span {
        self.find(|overrides| overrides.ttl).unwrap_or(defaults.ttl)
    }

    /// Whether the service needs the claim called `name`, one of the mapped, copied and
    /// set ones.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        let kept = self.find(|overrides| overrides.claims.as_deref());
        kept.is_none_or(|kept| kept.iter().any(|own| own == name))
    }
}
