-- Stands in for lua-resty-http, which Kong brings and Debian has not: those of its
-- functions that the plugin calls, by nginx's cosockets. Its replies have what the
-- library's have: `status`, `headers` found in any case, `has_body`, `body_reader`.

local _M = {}
_M.__index = _M

-- A head that is longer is no reply.
local MAX_LINES = 200

function _M.new()
  return setmetatable({ socket = ngx.socket.tcp(), may_reuse = true }, _M)
end

function _M:set_timeout(milliseconds)
  self.socket:settimeout(milliseconds)
end

function _M:connect(options)
  local is_tls = options.scheme == "https"
  local name = options.ssl_server_name
  local port = options.port or (is_tls and 443 or 80)
  -- Connections are alike if who answers, and as whom, is.
  local pool = table.concat({ options.scheme, options.host, port, name or "" }, "|")
  local ok, err = self.socket:connect(options.host, port, {
    pool = pool, pool_size = options.pool_size,
  })
  if not ok then
    return nil, err
  end
  if is_tls and self:get_reused_times() == 0 then
    return self.socket:sslhandshake(nil, name, options.ssl_verify)
  end
  return true
end

function _M:get_reused_times()
  return self.socket:getreusedtimes() or 0
end

function _M:close()
  return self.socket:close()
end

function _M:set_keepalive(...)
  if not self.may_reuse then
    return self.socket:close()
  end
  return self.socket:setkeepalive(...)
end

-- Fields found by their names in any case.
local function case_blind()
  local spelling = {}
  local fields = setmetatable({}, {
    __index = function(fields, name)
      return rawget(fields, spelling[tostring(name):lower()])
    end,
  })
  -- A name that comes twice has a list.
  local function add(name, value)
    local known = spelling[name:lower()]
    if not known then
      spelling[name:lower()] = name
      fields[name] = value
      return
    end
    local old = fields[known]
    if type(old) == "table" then
      old[#old + 1] = value
    else
      fields[known] = { old, value }
    end
  end
  return fields, add
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

local function read_head(socket)
  local line, err = socket:receive("*l")
  if not line then
    return nil, err
  end
  local minor, status = line:match("^HTTP/1%.(%d) (%d%d%d)")
  if not status then
    return nil, "couldn't parse " .. line
  end
  local headers, add = case_blind()
  for _ = 1, MAX_LINES do
    line, err = socket:receive("*l")
    if not line then
      return nil, err
    end
    if line == "" then
      return { status = tonumber(status), headers = headers, minor = minor }
    end
    local name, value = line:match("^([^:%s]+):%s*(.-)%s*$")
    if not name then
      return nil, "couldn't parse " .. line
    end
    add(name, value)
  end
  return nil, "too many header fields"
end

-- Readers give a piece of the body for each call, nil at its end, nil and why if it
-- breaks off.
local function sized_reader(socket, left)
  return function(most)
    if left == 0 then
      return nil
    end
    local piece, err = socket:receive(math.min(left, most))
    if not piece then
      return nil, err
    end
    left = left - #piece
    return piece
  end
end

local function chunked_reader(socket)
  local left, is_over = 0, false
  return function(most)
    if is_over then
      return nil
    end
    if left == 0 then
      local line, err = socket:receive("*l")
      left = line and tonumber(line:match("^%x+") or "", 16)
      if not left then
        return nil, err or "no size of a chunk"
      end
      if left == 0 then
        is_over = true
        repeat
          line, err = socket:receive("*l")
        until not line or line == ""
        return nil, err
      end
    end
    local piece, err = socket:receive(math.min(left, most))
    if not piece then
      return nil, err
    end
    left = left - #piece
    if left == 0 then
      local ending
      ending, err = socket:receive(2)
      if ending ~= "\r\n" then
        return nil, err or "a chunk is longer than it says"
      end
    end
    return piece
  end
end

local function reader_until_close(socket)
  return function(most)
    local piece, err, partial = socket:receive(most)
    if piece then
      return piece
    end
    return partial ~= "" and partial or nil, err
  end
end

function _M:request(request)
  local sent, err = self.socket:send(head_of(request))
  if not sent then
    return nil, err
  end
  local reply
  repeat
    reply, err = read_head(self.socket)
    if not reply then
      return nil, err
    end
  until reply.status >= 200
  local headers = reply.headers
  local connection = headers["Connection"]
  connection = type(connection) == "string" and connection:lower() or ""
  self.may_reuse = reply.minor == "1" and connection ~= "close" or connection == "keep-alive"
  reply.has_body = request.method ~= "HEAD" and reply.status ~= 204 and reply.status ~= 304
  local length = tonumber(headers["Content-Length"])
  if headers["Transfer-Encoding"] == "chunked" then
    reply.body_reader = chunked_reader(self.socket)
  elseif length then
    reply.body_reader = sized_reader(self.socket, length)
  else
    reply.body_reader = reader_until_close(self.socket)
  end
  return reply
end

return _M
