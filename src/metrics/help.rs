//! What each metric is, in one line, for hosts that show it beside the values.

/// The text for a metric; the name itself for an unknown one.
pub fn help(name: &str) -> &str {
    HELP.iter().find(|(known, _)| *known == name).map_or(name, |(_, help)| help)
}

/// All metrics with their texts.
pub const HELP: [(&str, &str); 22] = [
    ("gatepass_requests_total", "Requests, by outcome and code of the denial."),
    (
        "gatepass_processing_microseconds",
        "Time of the worker for a request's headers or a service's reply; 1 in 64 is measured.",
    ),
    ("gatepass_cache_hits_total", "Cache lookups that found a current entry."),
    ("gatepass_cache_misses_total", "Cache lookups that found no current entry."),
    ("gatepass_cache_stale_total", "Stale cache entries served because a service failed."),
    ("gatepass_cache_evictions_total", "Current cache entries evicted to make room."),
    ("gatepass_cache_bytes", "Approximate memory of a worker's cache in bytes."),
    ("gatepass_fetches_total", "Calls to services, by result."),
    ("gatepass_callout_milliseconds", "Duration of calls to services in milliseconds."),
    ("gatepass_minted_total", "Identity tokens signed."),
    ("gatepass_events_total", "Logout tokens and security events accepted, by type."),
    ("gatepass_streams_ended_total", "Forwarded requests that ended with their token."),
    ("gatepass_revocation_entries", "Entries in the revocation list or the allowlist."),
    ("gatepass_revocation_age_seconds", "Time since the list's feed was last read to its end."),
    ("gatepass_jwks_age_seconds", "Age of the provider's keys."),
    ("gatepass_crypto_host", "1 if the host verifies this algorithm, 0 if the filter does."),
    ("gatepass_config_hash", "Hash of the configuration without its secrets."),
    (
        "gatepass_signing_key_change_timestamp_seconds",
        "Unix time of the next start or end of a signing key; 0 if none is scheduled.",
    ),
    (
        "gatepass_signing_key_end_timestamp_seconds",
        "Unix time from which on no key signs; 0 if there is none.",
    ),
    ("gatepass_build_info", "1; the labels say which build this is."),
    ("gatepass_panics_total", "Panics of the native library, each of which ended a gateway."),
    (
        "gatepass_signatures_reused_total",
        "Tokens whose signature the process had verified already, for another worker as a rule.",
    ),
];
