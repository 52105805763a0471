-- The top-level fields of a configuration. The library knows what is allowed in them; a
-- test checks that this list is complete.

return {
  "access_log",
  "bypass_cors_preflight",
  "claim_to_headers",
  "consumers",
  "crypto",
  "errors",
  "identity_token",
  "limits",
  "mode",
  "policies",
  "providers",
  "resources",
  "revocation",
  "rules",
  "sealed_tokens",
  "services",
  "shared_data",
  "token",
  "user_info",
}
