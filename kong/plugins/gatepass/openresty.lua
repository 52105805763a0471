-- Gatepass in an nginx with Lua and without Kong:
--
--   init_by_lua_block { gatepass = require("kong.plugins.gatepass.openresty").new(text) }
--   init_worker_by_lua_block { gatepass.start() }
--   access_by_lua_block { gatepass.access() }
--   log_by_lua_block { gatepass.log() }
--
-- where `text` is the configuration as JSON.

local cjson = require "cjson.safe"
local worker = require "kong.plugins.gatepass.worker"

local ngx = ngx

local host = { directory = "/dev/shm" }

function host.describe(add)
  local var = ngx.var
  add("", var.remote_addr or "")
  -- Client addresses in headers do not affect this one.
  add("", var.realip_remote_addr or var.remote_addr or "")
  add("", var.request_id or "")
  -- A certificate that failed verification proves nothing.
  add("", var.ssl_client_verify == "SUCCESS" and var.ssl_client_raw_cert or "")
  add(":method", ngx.req.get_method())
  add(":path", var.request_uri)
  local authority = var.http_host
  if authority then
    add(":authority", authority)
  end
  add(":scheme", var.scheme)
end

function host.secret()
  return nil, "there are no vaults"
end

-- For log_format: $gatepass_code and the like, where they are declared with `set`.
function host.forwarded(identity)
  ngx.ctx.gatepass = identity.access_log
end

local _M = {}

function _M.new(text)
  local gateways = worker.new(host)
  local conf = cjson.decode(text) or {}
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
      for name, value in pairs(reply.headers) do
        ngx.header[name] = value
      end
      ngx.header.content_length = #reply.body
      ngx.print(reply.body)
      return ngx.exit(ngx.HTTP_OK)
    end
  end
  return gatepass
end

return _M
