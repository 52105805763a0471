//! By which door Envoy has the gateway: as a WebAssembly filter, or as a module of its
//! own process. The configuration of the gateway is the same.

use std::env;

use serde_norway::{Mapping, Value};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Wasm,
    Native,
}

/// Where `make native` puts the module.
const NATIVE: &str = "target/native";

impl Door {
    /// By `GATEPASS_DOOR`.
    pub fn chosen() -> Self {
        match env::var("GATEPASS_DOOR").as_deref() {
            Err(_) | Ok("" | "wasm") => Self::Wasm,
            Ok("native") => Self::Native,
            Ok(other) => panic!("GATEPASS_DOOR={other}: wasm or native"),
        }
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Wasm => Self::Native,
            Self::Native => Self::Wasm,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wasm => "WebAssembly filter",
            Self::Native => "native module",
        }
    }

    pub fn is_built(self) -> bool {
        super::envoy::directory().join(self.module()).exists()
    }

    /// The built module.
    pub const fn module(self) -> &'static str {
        match self {
            Self::Wasm => super::envoy::MODULE,
            Self::Native => "target/native/libgatepass_envoy.so",
        }
    }

    /// How it is built.
    pub const fn target(self) -> &'static str {
        match self {
            Self::Wasm => "make wasm",
            Self::Native => "make native",
        }
    }

    /// The bundled configuration.
    pub const fn bundled(self) -> &'static str {
        match self {
            Self::Wasm => "envoy/envoy.yaml",
            Self::Native => "envoy/envoy-native.yaml",
        }
    }

    /// What Envoy finds in its environment beside the secrets. The filter's
    /// configuration in Envoy names those that a WebAssembly filter may read.
    pub const fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Wasm => &[],
            Self::Native => {
                &[("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", NATIVE), ("GATEPASS_ENV", "USERS_API_KEY")]
            }
        }
    }

    /// A configuration of Envoy with WebAssembly filters, for this door.
    pub fn translate(self, config: &str) -> String {
        if self == Self::Wasm {
            return config.to_owned();
        }
        let mut value: Value =
            serde_norway::from_str(config).unwrap_or_else(|error| panic!("{error}\n{config}"));
        translate(&mut value);
        if let Some(config) = value.as_mapping_mut()
            && config.contains_key("static_resources")
            && !config.contains_key("layered_runtime")
        {
            // Metrics have the names that the WebAssembly filter's have.
            let layers = "layers:\n- name: gatepass\n  static_layer:\n    \
                          envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix: true";
            let layers: Value = serde_norway::from_str(layers).expect("YAML");
            config.insert("layered_runtime".into(), layers);
        }
        serde_norway::to_string(&value).expect("YAML")
    }
}

fn translate(value: &mut Value) {
    match value {
        Value::Mapping(mapping) => {
            if let Some(filter) = module(mapping) {
                *mapping = filter;
            } else {
                mapping.iter_mut().for_each(|(_, value)| translate(value));
            }
        }
        Value::Sequence(values) => values.iter_mut().for_each(translate),
        _ => {}
    }
}

/// The filter as a module, if this is the configuration of one in WebAssembly.
fn module(wasm: &Mapping) -> Option<Mapping> {
    let kind = wasm.get("@type")?.as_str()?;
    if kind != "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm" {
        return None;
    }
    let text = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3\
                .DynamicModuleFilter\ndynamic_module_config: {name: gatepass_envoy}\n\
                filter_name: gatepass";
    let mut filter: Mapping = serde_norway::from_str(text).expect("YAML");
    if let Some(configuration) = wasm.get("config")?.get("configuration") {
        filter.insert("filter_config".into(), configuration.clone());
    }
    Some(filter)
}
