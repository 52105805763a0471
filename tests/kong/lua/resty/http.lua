-- Stands in for lua-resty-http, which Kong brings and Debian has not: those of its
-- functions that the plugin calls, by nginx's cosockets, and its `sock`.

local _M = {}
_M.__index = _M

function _M.new()
  return setmetatable({ sock = ngx.socket.tcp() }, _M)
end

function _M:set_timeout(milliseconds)
  self.sock:settimeout(milliseconds)
end

function _M:connect(options)
  local is_tls = options.scheme == "https"
  local name = options.ssl_server_name
  local port = options.port or (is_tls and 443 or 80)
  -- Connections are alike if who answers, and as whom, is.
  local pool = table.concat({ options.scheme, options.host, port, name or "" }, "|")
  local ok, err = self.sock:connect(options.host, port, {
    pool = pool, pool_size = options.pool_size,
  })
  if not ok then
    return nil, err
  end
  if is_tls and self:get_reused_times() == 0 then
    return self.sock:sslhandshake(nil, name, options.ssl_verify)
  end
  return true
end

function _M:get_reused_times()
  return self.sock:getreusedtimes() or 0
end

function _M:close()
  return self.sock:close()
end

function _M:set_keepalive(...)
  return self.sock:setkeepalive(...)
end

local function head_of(request)
  local lines = { request.method .. " " .. request.path .. " HTTP/1.1" }
  local has_length = false
  for name, value in pairs(request.headers) do
    has_length = has_length or name:lower() == "content-length"
    for _, one in ipairs(type(value) == "table" and value or { value }) do
      lines[#lines + 1] = name .. ": " .. one
    end
  end
  if request.body and #request.body > 0 and not has_length then
    lines[#lines + 1] = "Content-Length: " .. #request.body
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (request.body or "")
end

function _M:send_request(request)
  return self.sock:send(head_of(request))
end

return _M
