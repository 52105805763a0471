//! Which plugins apply to a route.
//!
//! One instance of a plugin runs: that of route and service together, else that of the
//! route, else that of the service, else the global one. Disabled ones do not count
//! (kong/runloop/plugins_iterator.lua).

use super::entities::{Kong, Plugin, Route};
use super::issuer::IssuerPlugin;
use super::plugins::{Acl, Jwt, Settings};

/// The plugins that run for the requests of a route.
#[derive(Clone, Copy)]
pub(super) struct Applied<'k> {
    pub(super) jwt: Option<&'k Jwt>,
    pub(super) acl: Option<&'k Acl>,
    /// The one that takes tokens of an issuer; its place among the plugins.
    pub(super) issuer: Option<(usize, &'k IssuerPlugin)>,
    /// There is a second one of these.
    pub(super) has_several: bool,
}

impl<'k> Applied<'k> {
    pub(super) fn to(kong: &'k Kong, position: usize, route: &Route) -> Self {
        let find = |name: &str| {
            let (service, own) = (route.service, Some(position));
            let scopes = [(service, own), (None, own), (service, None), (None, None)];
            scopes.into_iter().find_map(|scope| {
                kong.plugins.iter().enumerate().find(|(_, plugin)| {
                    plugin.is_enabled
                        && plugin.name == name
                        && (plugin.scope.service, plugin.scope.route) == scope
                })
            })
        };
        let names = ["openid-connect", "jwt-keycloak", "jwt-signer"];
        let issuers = names.into_iter().filter_map(|name| match find(name)? {
            (at, Plugin { settings: Settings::Issuer(plugin), .. }) => Some((at, plugin.as_ref())),
            _ => None,
        });
        let issuers: Vec<_> = issuers.collect();
        Self {
            issuer: issuers.first().copied(),
            has_several: issuers.len() > 1,
            jwt: find("jwt").and_then(|(_, plugin)| match &plugin.settings {
                Settings::Jwt(jwt) => Some(jwt.as_ref()),
                _ => None,
            }),
            acl: find("acl").and_then(|(_, plugin)| match &plugin.settings {
                Settings::Acl(acl) => Some(acl),
                _ => None,
            }),
        }
    }

    /// The other plugins that may run for a route, for any consumer.
    pub(super) fn others(
        kong: &'k Kong,
        position: usize,
        route: &Route,
    ) -> impl Iterator<Item = &'k Plugin> {
        let service = route.service;
        kong.plugins.iter().filter(move |plugin| {
            let scope = plugin.scope;
            matches!(plugin.settings, Settings::Other)
                && plugin.is_enabled
                && (scope.route.is_none() || scope.route == Some(position))
                && (scope.service.is_none() || scope.service == service)
        })
    }
}
