//! The clusters that Envoy Gateway makes for an EnvoyExtensionPolicy: of routes, and of the
//! policy's own `backends` (1.10).

use serde_json::Value;

use super::is_made;
use crate::around::{Notes, upstreams};
use crate::located::Located;

/// Warns of each upstream that is no cluster.
pub(super) fn look(policy: &Value, documents: &[Value], located: &Located, notes: &mut Notes) {
    let made = clusters(policy);
    for (path, upstream) in upstreams(located) {
        let of_alias = made.iter().find(|cluster| cluster.alias == upstream);
        let is_one =
            made.iter().any(|cluster| cluster.is(upstream)) || is_made(documents, upstream);
        let names = || made.iter().map(Cluster::name).collect::<Vec<_>>().join(", ");
        let text = match of_alias {
            _ if is_one => continue,
            Some(cluster) => format!(
                "{upstream:?} is an alias, which Envoy Gateway resolves for requests only, and keys \
                 are fetched between them: give the name of its cluster, {}",
                cluster.name()
            ),
            // That of another policy is not in this document.
            None if !is_of(policy, upstream) && upstream.contains('/') => continue,
            None if made.is_empty() => format!(
                "Envoy Gateway calls no cluster {upstream:?}: its names are such as \
                 httproute/NAMESPACE/ROUTE/rule/0"
            ),
            None => format!(
                "Envoy Gateway makes no cluster {upstream:?}: those of the policy's backends are {}",
                names()
            ),
        };
        notes.warn(&path, text);
    }
}

/// The cluster of a backend: Envoy Gateway makes one for each Gateway, since the Gateway may
/// bring a client certificate.
struct Cluster<'a> {
    namespace: Option<&'a str>,
    policy: Option<&'a str>,
    alias: &'a str,
    /// `None` for a policy of routes or listener sets, whose Gateway another manifest names.
    gateway: Option<&'a str>,
}

impl Cluster<'_> {
    fn name(&self) -> String {
        let namespace = self.namespace.unwrap_or("NAMESPACE");
        let policy = self.policy.unwrap_or("POLICY");
        let gateway = match self.gateway {
            Some(gateway) => format!("{namespace}/{gateway}"),
            None => "NAMESPACE/GATEWAY".to_owned(),
        };
        let alias = self.alias;
        format!("envoyextensionpolicy/{namespace}/{policy}/backend/{alias}/gateway/{gateway}/0")
    }

    /// Whether that is its name, as far as the manifest says it.
    fn is(&self, name: &str) -> bool {
        let segments: Vec<&str> = name.split('/').collect();
        let [kind, namespace, policy, backend, alias, gateway, of, gateway_name, index] = *segments
        else {
            return false;
        };
        let fits = |own: Option<&str>, segment| own.is_none_or(|own| own == segment);
        kind == "envoyextensionpolicy"
            && (backend, gateway, index) == ("backend", "gateway", "0")
            && fits(self.namespace, namespace)
            && fits(self.policy, policy)
            && alias == self.alias
            && (self.gateway.is_none() || fits(self.namespace, of))
            && fits(self.gateway, gateway_name)
    }
}

/// The clusters of a policy's backends, for each Gateway that it is for.
fn clusters(policy: &Value) -> Vec<Cluster<'_>> {
    let metadata = |name: &str| policy.get("metadata")?.get(name)?.as_str();
    let spec = |name: &str| policy.get("spec").and_then(|spec| spec.get(name));
    let list = |name: &str| spec(name).and_then(Value::as_array).into_iter().flatten();
    let targets = list("targetRefs").chain(spec("targetRef"));
    let is_gateway =
        |target: &&Value| target.get("kind").and_then(Value::as_str) == Some("Gateway");
    let (gateways, others): (Vec<_>, Vec<_>) = targets.partition(is_gateway);
    let named = gateways.iter().filter_map(|target| target.get("name")?.as_str());
    let mut gateways: Vec<Option<&str>> = named.map(Some).collect();
    if gateways.is_empty() || !others.is_empty() {
        gateways.push(None);
    }
    let aliases = list("backends").filter_map(|backend| backend.get("name")?.as_str());
    let of_alias = |alias| {
        gateways.iter().map(move |gateway| Cluster {
            namespace: metadata("namespace"),
            policy: metadata("name"),
            alias,
            gateway: *gateway,
        })
    };
    aliases.flat_map(of_alias).collect()
}

/// Whether a name is one of this policy's clusters, or would be.
fn is_of(policy: &Value, name: &str) -> bool {
    let mut segments = name.split('/');
    let own = |field: &str| policy.get("metadata")?.get(field)?.as_str();
    segments.next() == Some("envoyextensionpolicy")
        && ["namespace", "name"].iter().all(|field| {
            let segment = segments.next();
            own(field).is_none_or(|own| Some(own) == segment)
        })
}
