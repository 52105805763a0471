//! `jwks`: the public halves of keys.

use serde_json::json;

use crate::arguments::Jwks;
use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::keygen::{own_kid, signing_key};
use crate::time::moment;
use crate::{Output, system};

/// `jwks`.
pub fn run(arguments: &Jwks) -> Result<Output, Failure> {
    let now = arguments.at.as_deref().map_or_else(|| Ok(system::now()), moment)?;
    if let Some(file) = &arguments.key {
        let text = system::read(file)?;
        let key = signing_key(file, &text)?;
        let own = own_kid(&text);
        let kid = arguments.kid.as_deref().or(own.as_deref()).unwrap_or_else(|| key.thumbprint());
        return Ok(Output::good(json!({ "keys": [key.public_jwk(kid)] }).to_string()));
    }
    let file = arguments.config.as_deref().unwrap_or_default();
    let settings = Configuration::one(file, &arguments.reading)?.settings()?;
    Ok(Output::good(settings.minter.keys.jwks(now).body().to_owned()))
}
