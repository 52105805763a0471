-- One HTTP exchange with a service, through lua-resty-http: connections are kept alive,
-- TLS is verified with nginx's trusted certificates, names are resolved as nginx (in
-- Kong: as Kong) does.

local ffi = require "ffi"
local http = require "resty.http"
local semaphore = require "ngx.semaphore"
local reply = require "kong.plugins.gatepass.reply"

local spawn, kill, wait = ngx.thread.spawn, ngx.thread.kill, ngx.thread.wait

local NO_REPLY, BROKEN = ffi.C.GATEPASS_FAILURE_NO_REPLY, ffi.C.GATEPASS_FAILURE_BROKEN

-- Idle connections of each worker to each service.
local POOL_SIZE, POOL_IDLE_MS = 64, 30000

local _M = {}

-- Logs why an exchange failed, for operators: the library only knows kinds of failures.
-- Nothing that a service sent is repeated.
local function warn(callout, what, err)
  ngx.log(ngx.WARN, "[gatepass] ", callout.scheme, "://", callout.host,
          callout.port and ":" .. callout.port or "", ": ", what, ": ", tostring(err))
end

local function connect(callout)
  local client = http.new()
  client:set_timeout(callout.timeout_ms)
  local ok, err = client:connect {
    scheme = callout.scheme,
    host = callout.host,
    port = callout.port,
    ssl_verify = true,
    -- The name that the certificate must have; without a port.
    ssl_server_name = callout.authority:gsub(":%d+$", ""),
    pool_size = POOL_SIZE,
  }
  if not ok then
    warn(callout, "no connection", err)
  end
  return ok and client
end

-- Sends the request and returns the reply, like `reply.read`.
local function request(client, callout, limit)
  local ok, err = client:send_request(callout)
  if not ok then
    return nil, NO_REPLY, err
  end
  return reply.read(client.sock, limit)
end

local function exchange(callout, limit)
  local client = connect(callout)
  if not client then
    return nil, NO_REPLY
  end
  local reused = client:get_reused_times() > 0
  local answer, reusable, err = request(client, callout, limit)
  if reusable == NO_REPLY and reused and callout.may_repeat then
    -- The service closed the idle connection at the same moment.
    client:close()
    client = connect(callout)
    if not client then
      return nil, NO_REPLY
    end
    answer, reusable, err = request(client, callout, limit)
  end
  if not answer then
    if reusable == NO_REPLY then
      warn(callout, "no reply", err)
    end
    client:close()
    return nil, reusable
  end
  if reusable then
    client:set_keepalive(POOL_IDLE_MS, POOL_SIZE)
  else
    client:close()
  end
  return answer
end

-- The reply, or nil and the cause of the failure. The timeout covers the whole exchange:
-- a timeout for each read never fires while a service sends a byte now and then.
function _M.send(callout, limit)
  local finished = semaphore.new()
  local ok, answer, cause
  local thread = spawn(function()
    ok, answer, cause = pcall(exchange, callout, limit)
    finished:post()
  end)
  local deadline = callout.timeout_ms / 1000
  if not finished:wait(deadline) then
    -- Its socket ends with it.
    kill(thread)
    warn(callout, "no reply", "not within " .. callout.timeout_ms .. " ms")
    return nil, NO_REPLY
  end
  wait(thread)
  if not ok then
    ngx.log(ngx.ERR, "[gatepass] ", answer)
    return nil, BROKEN
  end
  return answer, cause
end

return _M
