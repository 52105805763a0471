-- The header fields of the current request, where nginx has them: none becomes a string
-- of Lua, which would cost more than the decision about most requests. This uses the
-- functions behind ngx.req.get_headers and ngx.req.set_header, as lua-resty-core declares
-- them.

local base = require "resty.core.base"
local ffi = require "ffi"
require "resty.core.request"
require "kong.plugins.gatepass.library"

local C = ffi.C
local get_request = base.get_request

local _M = {}

-- Whether the library can read what nginx lends.
local function fits()
  local theirs, ours = "ngx_http_lua_ffi_table_elt_t", "gatepass_header"
  local their_text, our_text = "ngx_http_lua_ffi_str_t", "gatepass_lent"
  return C.ngx_http_lua_ffi_req_get_headers ~= nil
    and C.ngx_http_lua_ffi_req_get_headers_count ~= nil
    and C.ngx_http_lua_ffi_req_set_header ~= nil
    and ffi.sizeof(theirs) == ffi.sizeof(ours)
    and ffi.offsetof(theirs, "key") == ffi.offsetof(ours, "name")
    and ffi.offsetof(theirs, "value") == ffi.offsetof(ours, "value")
    and ffi.offsetof(their_text, "len") == ffi.offsetof(our_text, "size")
    and ffi.offsetof(their_text, "data") == ffi.offsetof(our_text, "data")
end

local ran, is_fit = pcall(fits)

-- Why no request can be read.
_M.problem = not (ran and is_fit) and "this version of lua-resty-core lends header fields "
  .. "in another form: " .. tostring(is_fit) or nil

local capacity, elements, fields = 0, nil, nil
local truncated = ffi.new("int[1]")

local function grow(count)
  capacity = math.max(count, capacity * 2, 64)
  elements = ffi.new("ngx_http_lua_ffi_table_elt_t[?]", capacity)
  fields = ffi.cast("const gatepass_header *", elements)
end

-- All fields and their number, valid until a header of the request changes or another
-- request is read.
function _M.read()
  local request = get_request()
  local count = C.ngx_http_lua_ffi_req_get_headers_count(request, 0, truncated)
  if count > capacity then
    grow(count)
  end
  if count < 0 or C.ngx_http_lua_ffi_req_get_headers(request, elements, count, 0) ~= 0 then
    error("header fields cannot be read here")
  end
  return fields, count
end

local message = ffi.new("char *[1]")

-- Sets a field, whatever there was of that name, or removes it if `value` is nil or null.
-- Both are strings, or bytes that the library lends: nginx copies them.
function _M.set(name, name_size, value, value_size)
  local rc = C.ngx_http_lua_ffi_req_set_header(get_request(), name, name_size, value,
                                               value_size, nil, 0, 1, message)
  if rc ~= base.FFI_OK and rc ~= base.FFI_DECLINED then
    error("a header field cannot be set here")
  end
end

return _M
