-- Gatepass in an nginx with Lua and without Kong:
--
--   init_by_lua_block { gatepass = require("kong.plugins.gatepass.openresty").new(text) }
--   init_worker_by_lua_block { gatepass.start() }
--   access_by_lua_block { gatepass.access() }
--   log_by_lua_block { gatepass.log() }
--
-- where `text` is the configuration as JSON.

local worker = require "kong.plugins.gatepass.worker"

local ngx = ngx

local host = { directory = "/dev/shm" }

function host.describe()
  local var = ngx.var
  local address, scheme, certificate = var.remote_addr or "", var.scheme, nil
  -- A certificate that failed verification proves nothing.
  if scheme == "https" and var.ssl_client_verify == "SUCCESS" then
    certificate = var.ssl_client_raw_cert
  end
  -- Client addresses in headers do not affect the second one.
  return address, var.realip_remote_addr or address, var.request_id or "",
    certificate or "", ngx.req.get_method(), var.request_uri, scheme
end

-- As it was written: what Lua makes of JSON hides names that repeat. Without vaults, nothing
-- in it refers to one.
function host.text(conf)
  return conf.text
end

function host.resolved(conf)
  return conf.text, 0
end

function host.identity(fields)
  return { access_log = fields.access_log }
end

-- For log_format: $gatepass_code and the like, where they are declared with `set`.
function host.forwarded(identity)
  ngx.ctx.gatepass = identity.access_log
end

local _M = {}

function _M.new(text)
  local gateways = worker.new(host)
  -- The library says what anything but text is not.
  local conf = { text = type(text) == "string" and text or "" }
  local gatepass = { log = worker.over }
  function gatepass.start()
    gateways:start()
    gateways:configure { conf }
  end
  function gatepass.access()
    local reply = gateways:access(conf)
    if reply then
      ngx.ctx.gatepass = reply.access_log
      ngx.status = reply.status
      ngx.header.content_length = #reply.body
      for name, value in pairs(reply.headers) do
        ngx.header[name] = value
      end
      ngx.print(reply.body)
      return ngx.exit(ngx.HTTP_OK)
    end
  end
  return gatepass
end

return _M
