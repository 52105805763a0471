-- Reads a service's reply (RFC 9112) from a connected socket. Everything that the service
-- controls is limited, and an ambiguous reply is treated as broken: the reader of
-- lua-resty-http does not limit the head, and never ends on some lengths.

local ffi = require "ffi"
require "kong.plugins.gatepass.library"

-- Limit for all heads and trailers of one exchange, including interim responses.
local MAX_HEAD_BYTES = 65536

-- Bytes to read at once.
local PIECE = 16384

local NO_REPLY, BROKEN = ffi.C.GATEPASS_FAILURE_NO_REPLY, ffi.C.GATEPASS_FAILURE_BROKEN
local TOO_LARGE = ffi.C.GATEPASS_FAILURE_TOO_LARGE

local Reader = {}
Reader.__index = Reader

-- Waits for more bytes, and drops those already consumed.
function Reader:fill()
  local piece, err = self.socket:receiveany(PIECE)
  if not piece then
    return nil, err
  end
  self.text, self.at = self.text:sub(self.at) .. piece, 1
  return true
end

-- The number of unread bytes.
function Reader:size()
  return #self.text - self.at + 1
end

-- The next line, without its line break; nil if there is none within the limit.
function Reader:line()
  local seen = 0
  while true do
    local from = self.at
    local at = self.text:find("\n", from + seen, true)
    seen = at and at - from + 1 or self:size()
    if seen > self.head_left then
      return nil, "the head is too long"
    end
    if at then
      self.head_left, self.at = self.head_left - seen, at + 1
      return (self.text:sub(from, at - 1):gsub("\r$", ""))
    end
    local ok, err = self:fill()
    if not ok then
      return nil, err
    end
  end
end

-- The next `most` bytes, or fewer.
function Reader:piece(most)
  if self:size() == 0 then
    local ok, err = self:fill()
    if not ok then
      return nil, err
    end
  end
  local piece = self.text:sub(self.at, self.at + most - 1)
  self.at = self.at + #piece
  return piece
end

-- The next `size` bytes.
function Reader:take(size)
  local pieces = {}
  while size > 0 do
    local piece = self:piece(size)
    if not piece then
      return nil
    end
    pieces[#pieces + 1], size = piece, size - #piece
  end
  return table.concat(pieces)
end

-- Header fields by lowercase name; repeated ones are lists.
function Reader:fields()
  local fields = {}
  while true do
    local line, err = self:line()
    if not line then
      return nil, err
    end
    if line == "" then
      return fields
    end
    local name, value = line:match("^([%w!#$%%&'*+%-.^_`|~]+):[ \t]*(.-)[ \t]*$")
    if not name then
      return nil, "no header field"
    end
    name = name:lower()
    local other = fields[name]
    if other == nil then
      fields[name] = value
    elseif type(other) == "table" then
      other[#other + 1] = value
    else
      fields[name] = { other, value }
    end
  end
end

-- Status, header fields and minor version of the final reply.
function Reader:head()
  local line, fields, err
  repeat
    line, err = self:line()
    if not line then
      return nil, err
    end
    local minor, status = line:match("^HTTP/1%.([01]) (%d%d%d)")
    if not status then
      return nil, "no HTTP"
    end
    fields, err = self:fields()
    if not fields then
      return nil, err
    end
    status = tonumber(status)
    if status >= 200 then
      return { status = status, headers = fields, minor = minor }
    end
  -- Interim responses come before the final one (RFC 9110 section 15.2); after 101 the
  -- connection would no longer be HTTP.
  until status == 101
  return nil, "status 101"
end

function Reader:chunks(limit)
  local pieces, size = {}, 0
  while true do
    local line = self:line()
    local digits = line and line:match("^(%x+)[ \t]*$") or line and line:match("^(%x+)[ \t]*;")
    if not digits or #digits > 8 then
      return nil, BROKEN
    end
    local length = tonumber(digits, 16)
    if length == 0 then
      -- Trailers are skipped.
      if not self:fields() then
        return nil, BROKEN
      end
      return table.concat(pieces)
    end
    size = size + length
    if size > limit then
      return nil, TOO_LARGE
    end
    local piece = self:take(length)
    if not piece or self:line() ~= "" then
      return nil, BROKEN
    end
    pieces[#pieces + 1] = piece
  end
end

-- Without a length the body ends with the connection (RFC 9112 section 6.3).
function Reader:until_close(limit)
  local pieces = {}
  while limit >= 0 do
    local piece, err = self:piece(PIECE)
    if not piece then
      return err == "closed" and table.concat(pieces) or nil, BROKEN
    end
    pieces[#pieces + 1], limit = piece, limit - #piece
  end
  return nil, TOO_LARGE
end

-- The body, and whether its end is certain; nil and the cause if there is none.
-- RFC 9112 section 6.3 (R81)
function Reader:body(head, limit)
  local status, headers = head.status, head.headers
  if status == 204 or status == 304 then
    return "", true
  end
  local coding, length = headers["transfer-encoding"], headers["content-length"]
  if coding then
    -- With both, it is ambiguous where the body ends.
    if length or type(coding) ~= "string" or coding:lower() ~= "chunked" then
      return nil, BROKEN
    end
    local body, cause = self:chunks(limit)
    return body, body and true or cause
  end
  if not length then
    local body, cause = self:until_close(limit)
    return body, not body and cause
  end
  if type(length) ~= "string" or not length:match("^%d+$") then
    return nil, BROKEN
  end
  length = tonumber(length)
  if length > limit then
    return nil, TOO_LARGE
  end
  local body = self:take(length)
  return body, body and true or BROKEN
end

local function keeps(head)
  local connection = head.headers.connection
  if type(connection) == "table" then
    connection = table.concat(connection, ",")
  end
  connection = connection and connection:lower() or ""
  return head.minor == "1" and not connection:find("close", 1, true)
end

local _M = {}

-- The reply, and whether the connection can be reused; or nil, the cause, and the
-- socket's error if there was no reply at all.
function _M.read(socket, limit)
  local reader = setmetatable({ socket = socket, text = "", at = 1,
                                head_left = MAX_HEAD_BYTES }, Reader)
  local head, err = reader:head()
  if not head then
    return nil, NO_REPLY, err
  end
  local body, is_sized = reader:body(head, limit)
  if not body then
    return nil, is_sized
  end
  local reply = { status = head.status, headers = head.headers, body = body }
  -- Bytes after the reply belong to no request.
  return reply, is_sized and reader:size() == 0 and keeps(head)
end

return _M
