-- One HTTP exchange with a service, by lua-resty-http: its connections are kept open, TLS
-- is verified with nginx's trusted certificates, names are resolved as nginx (in Kong:
-- as Kong) does.

local http = require "resty.http"
local semaphore = require "ngx.semaphore"

local spawn, kill, wait = ngx.thread.spawn, ngx.thread.kill, ngx.thread.wait

-- As gatepass_failed has them.
local NOT_SENT, NO_REPLY, BROKEN, TOO_LARGE = 1, 2, 3, 4

-- Idle connections of each worker to each service.
local POOL_SIZE, POOL_IDLE_MS = 64, 30000

local _M = { NOT_SENT = NOT_SENT }

-- The body, and whether the connection can be used again.
local function read_body(response, limit)
  if not response.has_body then
    return "", true
  end
  local headers = response.headers
  local is_sized = headers["Content-Length"] or headers["Transfer-Encoding"]
  local chunks, size = {}, 0
  repeat
    -- The size bounds what is read at once, whatever the service announces.
    local chunk, err = response.body_reader(16384)
    -- Without a length the body ends with the connection (RFC 9112 section 6.3).
    local is_end = err == "closed" and not is_sized
    if err and not is_end then
      return nil, BROKEN
    end
    size = size + #(chunk or "")
    if size > limit then
      return nil, TOO_LARGE
    end
    chunks[#chunks + 1] = chunk
  until not chunk or is_end
  return table.concat(chunks), is_sized
end

-- Why an exchange failed, for operators: the library knows kinds alone. What a service
-- sent is not repeated.
local function tell(callout, what, err)
  local text = tostring(err):gsub("^couldn't parse.*", "no HTTP")
  ngx.log(ngx.WARN, "[gatepass] ", callout.scheme, "://", callout.host,
          callout.port and ":" .. callout.port or "", ": ", what, ": ", text)
end

local function connect(callout)
  local client = http.new()
  client:set_timeout(callout.timeout_ms)
  local ok, err = client:connect {
    scheme = callout.scheme,
    host = callout.host,
    port = callout.port,
    ssl_verify = true,
    -- A name without a port: what the certificate must say.
    ssl_server_name = callout.authority:gsub(":%d+$", ""),
    pool_size = POOL_SIZE,
  }
  if not ok then
    tell(callout, "no connection", err)
  end
  return ok and client
end

local function exchange(callout, limit)
  local client = connect(callout)
  if not client then
    return nil, NO_REPLY
  end
  local reused = client:get_reused_times() > 0
  local response, err = client:request(callout)
  if not response and reused and callout.method == "GET" then
    -- The service closed the idle connection at the same moment.
    client:close()
    client = connect(callout)
    if not client then
      return nil, NO_REPLY
    end
    response, err = client:request(callout)
  end
  if not response then
    tell(callout, "no reply", err)
    client:close()
    return nil, NO_REPLY
  end
  local body, reusable = read_body(response, limit)
  if not body then
    client:close()
    return nil, reusable
  end
  if reusable then
    client:set_keepalive(POOL_IDLE_MS, POOL_SIZE)
  else
    client:close()
  end
  return { status = response.status, headers = response.headers, body = body }
end

-- The reply, or nil and why there is none. The time limit holds for the whole exchange:
-- one for each read alone never ends while a service drips.
function _M.send(callout, limit)
  local finished = semaphore.new()
  local ok, response, cause
  local thread = spawn(function()
    ok, response, cause = pcall(exchange, callout, limit)
    finished:post()
  end)
  local deadline = callout.timeout_ms / 1000
  if not finished:wait(deadline) then
    -- Its socket ends with it.
    kill(thread)
    tell(callout, "no reply", "not within " .. callout.timeout_ms .. " ms")
    return nil, NO_REPLY
  end
  wait(thread)
  if not ok then
    ngx.log(ngx.ERR, "[gatepass] ", response)
    return nil, BROKEN
  end
  return response, cause
end

return _M
