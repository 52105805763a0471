//! The requirements that apply to a request.

use super::{Anonymous, Bypassed, Requirements};
use crate::denial::Denial;

/// What the rules require of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Nothing: it passes without identity.
    Bypass(Bypassed),
    /// To meet these requirements.
    Require(Applicable<'a>),
}

/// The requirements that a request must meet, all of them.
#[derive(Debug)]
pub struct Applicable<'a> {
    /// Those of its rule, or the default ones.
    pub(super) own: &'a Requirements,
    /// Those of the rules that may apply while its MCP call is unknown.
    pub(super) possible: Vec<&'a Requirements>,
}

impl<'a> Applicable<'a> {
    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &'a Requirements> {
        self.possible.iter().copied().chain([self.own])
    }

    /// The identity of the request without a token, if all allow one.
    pub fn anonymous(&self) -> Option<&'a Anonymous> {
        self.own.anonymous.as_deref().filter(|_| self.all().all(|it| it.anonymous.is_some()))
    }

    /// The anonymous identity with which the request passes despite this `denial`, if all
    /// allow that.
    pub fn anonymous_despite(&self, denial: &Denial) -> Option<&'a Anonymous> {
        let all_allow = || self.all().all(|it| it.anonymous_despite(denial).is_some());
        self.own.anonymous_despite(denial).filter(|_| all_allow())
    }
}
