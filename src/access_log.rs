//! Fields of a request for the host's access log.

use std::rc::Rc;

/// Fields of a request for the host's access log: verified values, each a single
/// [word](crate::http::log_word).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogFields {
    /// The consumer's [name](crate::consumer::Consumer::name).
    pub consumer: Option<Rc<str>>,
    /// The token's subject.
    pub subject: Option<Rc<str>>,
    /// Who acts for them.
    pub actor: Option<Rc<str>>,
    /// The code of the denial, in shadow mode too.
    pub code: Option<&'static str>,
    /// The transaction, with the profile `txn_token`.
    pub txn: Option<Rc<str>>,
}

impl AccessLogFields {
    /// Nothing to print.
    pub const EMPTY: Self =
        Self { consumer: None, subject: None, actor: None, code: None, txn: None };

    /// The fields that have a value, with their names.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let entries = [
            ("gatepass.consumer", self.consumer.as_deref()),
            ("gatepass.subject", self.subject.as_deref()),
            ("gatepass.actor", self.actor.as_deref()),
            ("gatepass.code", self.code),
            ("gatepass.txn", self.txn.as_deref()),
        ];
        entries.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}
