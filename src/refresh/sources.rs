//! All key sources of a gateway.

use super::remote::RemoteKeys;
use super::source::KeySource;
use crate::token::ProviderId;

/// Whose keys a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySourceId {
    /// Those for a provider's tokens.
    Provider(ProviderId),
    /// Those for the events of the transmitter at this position.
    Transmitter(usize),
}

impl From<ProviderId> for KeySourceId {
    fn from(provider: ProviderId) -> Self {
        Self::Provider(provider)
    }
}

/// All key sources of a gateway, each with its name for logs and metrics.
#[derive(Debug)]
pub struct KeySources {
    providers: Vec<(String, KeySource)>,
    transmitters: Vec<(String, KeySource)>,
}

impl KeySources {
    /// The sources of the providers and of the transmitters, by position.
    pub const fn new(
        providers: Vec<(String, KeySource)>,
        transmitters: Vec<(String, KeySource)>,
    ) -> Self {
        Self { providers, transmitters }
    }

    /// One of them.
    pub fn get(&self, id: KeySourceId) -> Option<&KeySource> {
        self.named(id).map(|(_, source)| source)
    }

    /// One of them, if its keys are fetched.
    pub fn remote_mut(&mut self, id: KeySourceId) -> Option<&mut RemoteKeys> {
        let found = match id {
            KeySourceId::Provider(ProviderId(position)) => self.providers.get_mut(position),
            KeySourceId::Transmitter(position) => self.transmitters.get_mut(position),
        };
        found.and_then(|(_, source)| source.as_remote_mut())
    }

    /// All whose keys are fetched, with their names.
    pub fn remotes_mut(&mut self) -> impl Iterator<Item = (KeySourceId, &str, &mut RemoteKeys)> {
        let providers = self.providers.iter_mut().enumerate();
        let providers = providers.map(|(position, own)| (ProviderId(position).into(), own));
        let transmitters = self.transmitters.iter_mut().enumerate();
        let transmitters =
            transmitters.map(|(position, own)| (KeySourceId::Transmitter(position), own));
        providers
            .chain(transmitters)
            .filter_map(|(id, (name, source))| Some((id, name.as_str(), source.as_remote_mut()?)))
    }

    /// The name of a provider or of a transmitter.
    pub fn name(&self, id: KeySourceId) -> &str {
        self.named(id).map(|(name, _)| name.as_str()).unwrap_or_default()
    }

    fn named(&self, id: KeySourceId) -> Option<&(String, KeySource)> {
        match id {
            KeySourceId::Provider(ProviderId(position)) => self.providers.get(position),
            KeySourceId::Transmitter(position) => self.transmitters.get(position),
        }
    }
}
