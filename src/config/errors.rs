//! `errors`: the presentation of denials.

use super::kong_jwt::PluginOptions;
use super::reader::Node;
use super::values::{token_name, twice};
use crate::denial::{ErrorFormat, ErrorSettings, LoginRedirect};
use crate::http::is_unambiguous;

pub(super) fn default_errors(plugin: Option<&PluginOptions>) -> ErrorSettings {
    let default = ErrorSettings::default();
    let realm = plugin.and_then(|plugin| plugin.realm.clone()).or(default.realm);
    ErrorSettings { realm, ..default }
}

/// Reads `errors`.
pub(super) fn read(node: &Node<'_>, plugin: Option<&PluginOptions>) -> Option<ErrorSettings> {
    let mut fields = node.fields()?;
    let default = default_errors(plugin);
    let realm = fields.optional("realm", |node| node.plain_text().map(str::to_owned));
    let formats = [("problem", ErrorFormat::Problem), ("kong", ErrorFormat::Kong)];
    let format = fields.or("format", default.format, |node| node.one_of(&formats));
    let login_redirect = fields.optional("login_redirect", login_redirect);
    let node = fields.node().clone();
    fields.finish()?;
    let (realm, format) = (realm?, format?);
    let by_plugin = plugin.and_then(|plugin| plugin.realm.clone());
    let realm = match (realm, by_plugin, format) {
        (Some(_), Some(_), _) => return twice(&node, "realm"),
        (Some(realm), None, _) | (None, Some(realm), _) => Some(realm),
        // Kong's plugin sends no realm by default.
        (None, None, ErrorFormat::Kong) => None,
        (None, None, ErrorFormat::Problem) => default.realm,
    };
    let login_redirect = login_redirect?;
    Some(ErrorSettings { realm, format, login_redirect, proof_algorithms: None })
}

/// Some clients parse challenges with regular expressions and would take text in the
/// realm that looks like a parameter for one.
pub(super) fn check_realm(whole: &Node<'_>, errors: &ErrorSettings) {
    let resources = whole.member("resources");
    let resources = resources.and_then(|node| node.value().as_array().map(Vec::len));
    if resources.is_some_and(|count| count > 0)
        && errors.realm.as_ref().is_some_and(|realm| realm.contains('='))
    {
        let found = "= in the realm, with resources";
        let node = whole.nearest(&["errors", "realm"]);
        let _: Option<()> = node.reject_as(found, "a realm without it");
    }
}

pub(super) fn login_redirect(node: &Node<'_>) -> Option<LoginRedirect> {
    const ACCEPTED: &str = "a path that starts with one slash, or an https URL";
    let mut fields = node.fields_as("an object such as {to: /login}")?;
    let to = fields.required("to", ACCEPTED, |node| {
        let text = node.plain_text()?;
        let is_path = text.starts_with('/') && !text.starts_with("//");
        if !is_path && !text.starts_with("https://") || text.contains(['#', ' ']) {
            return node.reject(ACCEPTED);
        }
        // A browser may request another path than this, and be redirected forever.
        if is_path && !text.split('?').next().is_some_and(|path| is_unambiguous(path.as_bytes())) {
            return node.reject("a path without dot segments, empty segments or encoded slashes");
        }
        Some(text.to_owned())
    });
    let return_to_param = fields.or("return_to_param", "return_to".to_owned(), token_name);
    fields.finish()?;
    Some(LoginRedirect { to: to?, return_to_param: return_to_param? })
}
