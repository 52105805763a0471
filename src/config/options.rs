//! The sections that are independent of others.

use super::kong_jwt::PluginOptions;
use super::reader::{Fields, Node};
use super::{errors, limits};
use crate::denial::ErrorSettings;
use crate::pipeline::{Limits, SharedData};
use crate::verdict::Mode;

/// Sections that are independent of others.
#[allow(clippy::option_option)] // as Fields::optional
pub struct Options {
    /// `errors`.
    pub errors: Option<Option<ErrorSettings>>,
    /// `limits`.
    pub limits: Option<Limits>,
    /// `bypass_cors_preflight`.
    pub bypass_cors_preflight: Option<Option<bool>>,
    /// `shared_data`.
    pub shared_data: Option<SharedData>,
    /// `mode`.
    pub mode: Option<Mode>,
    /// `access_log.properties`.
    pub access_log_properties: Option<Option<Option<bool>>>,
}

impl Options {
    /// Reads them.
    pub fn read(fields: &mut Fields<'_>, plugin: Option<&PluginOptions>) -> Self {
        let shared_data = [
            ("auto", SharedData::Auto),
            ("always", SharedData::Always),
            ("never", SharedData::Never),
        ];
        let modes = [("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];
        Self {
            errors: fields.optional("errors", |node| errors::read(node, plugin)),
            limits: fields.or("limits", limits::DEFAULT, limits::read),
            bypass_cors_preflight: fields.optional("bypass_cors_preflight", Node::flag),
            shared_data: fields
                .or("shared_data", SharedData::Auto, |node| node.one_of(&shared_data)),
            mode: fields.or("mode", Mode::Enforce, |node| node.one_of(&modes)),
            access_log_properties: fields.optional("access_log", access_log),
        }
    }
}

#[allow(clippy::option_option)] // as Fields::optional
fn access_log(node: &Node<'_>) -> Option<Option<bool>> {
    let mut fields = node.fields()?;
    let properties = fields.optional("properties", Node::flag);
    fields.finish()?;
    properties
}
