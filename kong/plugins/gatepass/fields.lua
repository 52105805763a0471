-- The fields at the top of a configuration. The library knows what may be in them; that
-- this list is whole, a test holds against it.

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
