//! Checks that the client holds the key that its token is bound to.

use std::rc::Rc;

use super::Pipeline;
use super::attempt::Attempt;
use crate::bearer::Sanitized;
use crate::binding::{
    Binding, CertificateSource, Dpop, Mismatch, Nonces, Proof, ProofError, ProofOf,
    forwarded_digest,
};
use crate::denial::Denial;
use crate::event::Trace;
use crate::host::RequestId;
use crate::http::RequestHead;
use crate::network::Network;
use crate::seen::Noted;
use crate::session::Session;
use crate::time::UnixTime;

impl Pipeline {
    /// RFC 8705 section 3, RFC 9449 section 7.1: a bound token is accepted only with its
    /// key; one bound to a DPoP key only under the DPoP scheme; and that scheme only with
    /// such a token.
    // RFC 8705 section 3 (R34)
    pub(super) fn check_binding(
        &mut self,
        attempt: &mut Attempt<'_>,
        session: &Session,
        text: &[u8],
    ) -> Result<(), Denial> {
        if self.bindings.is_empty() {
            return Ok(());
        }
        let token = session.principal().token();
        let confirmation = token.confirmation();
        let bindings = Rc::clone(&self.bindings);
        let binding = bindings.of(token.provider());
        if confirmation.is_empty() && binding.is_some_and(|binding| binding.required) {
            return Err(Denial::BindingMismatch(Mismatch::Unbound));
        }
        if let Some(wanted) = confirmation.certificate {
            let source = binding.and_then(|binding| binding.certificate.as_ref());
            let shown =
                source.and_then(|source| self.certificate(attempt.request, attempt.head, source));
            if shown != Some(wanted) {
                return Err(Denial::BindingMismatch(Mismatch::Certificate));
            }
        }
        let dpop = binding.and_then(|binding| binding.dpop.as_ref());
        match (&confirmation.key, self.sources.uses_dpop_scheme(attempt.head), dpop) {
            (None, false, _) => Ok(()),
            (None, true, _) => Err(Denial::BindingMismatch(Mismatch::NotForProofs)),
            (Some(key), true, Some(dpop)) => {
                let of = ProofOf { head: attempt.head, token: text, key };
                // A request that waited passes here again.
                if attempt.memory.is_proof_accepted() {
                    return Ok(());
                }
                self.check_proof(dpop, of, attempt.now)?;
                attempt.memory.mark_proof_accepted();
                Ok(())
            }
            (Some(_), ..) => Err(Denial::BindingMismatch(Mismatch::WithoutProof)),
        }
    }

    fn check_proof(&mut self, dpop: &Dpop, of: ProofOf<'_>, now: UnixTime) -> Result<(), Denial> {
        let Proof { id, lifetime } =
            dpop.check(of, &self.crypto, now).map_err(|error| match error {
                ProofError::AnotherKey => Denial::BindingMismatch(Mismatch::Key),
                error => Denial::DpopInvalid(error),
            })?;
        let parts = [of.key.as_slice(), id.as_bytes()];
        match self.proofs_seen.note(&parts, lifetime, self.store.as_deref(), now) {
            Noted::New => Ok(()),
            Noted::Again => Err(Denial::DpopInvalid(ProofError::Repeated)),
            Noted::Failed => Err(Denial::DpopInvalid(ProofError::Unknown)),
        }
    }

    /// Clears certificates that no TLS terminator sent: services trust those headers as the
    /// gateway does, and the first proxy has to remove a client's own (RFC 9440 section 4).
    pub(super) fn sanitize_certificates(
        &self,
        request: RequestId,
        head: &RequestHead,
        sanitized: &mut Sanitized,
    ) -> Result<(), Denial> {
        for (header, _) in self.bindings.forwarded() {
            for field in head.fields().filter(|field| header.is_spelled(field.name)) {
                let mut own = self.bindings.forwarded().filter(|(it, _)| it.is_spelled(field.name));
                if !own.any(|(_, from)| self.is_peer_in(request, from)) {
                    sanitized.clear.add(field.name)?;
                }
            }
        }
        Ok(())
    }

    fn is_peer_in(&self, request: RequestId, networks: &[Network]) -> bool {
        let address = self.peer_address(request);
        address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
    }

    /// The digest of the client certificate.
    fn certificate(
        &self,
        request: RequestId,
        head: &RequestHead,
        source: &CertificateSource,
    ) -> Option<[u8; 32]> {
        match source {
            CertificateSource::Connection => self.client_certificate(request),
            CertificateSource::Header { name, from } => {
                self.is_peer_in(request, from).then(|| forwarded_digest(head, name)).flatten()
            }
        }
    }

    /// A nonce for the next proof, where one is required: by the provider of the token,
    /// else by the first provider that requires one.
    pub(super) fn dpop_nonce(&self, trace: &Trace, now: UnixTime) -> Option<String> {
        fn nonces(binding: &Binding) -> Option<&Nonces> {
            binding.dpop.as_ref()?.nonces.as_ref()
        }
        let provider = trace.provider.as_ref().and_then(|it| self.providers.id_of(&it.name));
        let own = provider.and_then(|provider| self.bindings.of(provider)).and_then(nonces);
        own.or_else(|| self.bindings.iter().find_map(nonces))?.make(now)
    }
}
