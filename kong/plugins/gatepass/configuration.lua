-- A plugin's configuration as JSON text for the library: the same text for the same
-- values, so that a gateway outlives Kong's copies of its configuration.

local cjson = require "cjson.safe"
local fields = require "kong.plugins.gatepass.fields"

local null = ngx.null
local array_mt, empty_array_mt = cjson.array_mt, cjson.empty_array_mt

local _M = {}

local encode

local function encode_number(number)
  if number == math.floor(number) and math.abs(number) < 2 ^ 53 then
    return string.format("%.0f", number)
  end
  return cjson.encode(number)
end

local function encode_table(value)
  local mt = getmetatable(value)
  local parts = {}
  if #value > 0 or (mt ~= nil and (mt == array_mt or mt == empty_array_mt)) then
    for i = 1, #value do
      parts[i] = encode(value[i])
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local names = {}
  for name in pairs(value) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local member = value[name]
    if member == nil then
      -- A number or a boolean as a name, which YAML makes of `yes: 1`.
      member = null
    end
    parts[i] = cjson.encode(name) .. ":" .. encode(member)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if kind == "table" then
    return encode_table(value)
  end
  if kind == "number" then
    return encode_number(value)
  end
  return cjson.encode(value) or "null"
end

-- Calls `get` for each reference to a vault and replaces it with the result. Returns the
-- copy, and the number of references; or nil and the error.
local function resolve(value, get)
  if type(value) ~= "table" then
    return value, 0
  end
  local name, reference = next(value)
  if name == "vault" and type(reference) == "string" and next(value, name) == nil then
    local secret, err = get(reference)
    if type(secret) ~= "string" then
      -- The reference names a secret and contains none.
      return nil, reference .. ": " .. tostring(err or "no text")
    end
    return secret, 1
  end
  local copy, count = setmetatable({}, getmetatable(value)), 0
  for key, member in pairs(value) do
    local resolved, found = resolve(member, get)
    if resolved == nil then
      return nil, found
    end
    copy[key], count = resolved, count + found
  end
  return copy, count
end

-- The part of Kong's table that is the configuration.
local function own(conf)
  local value = {}
  for _, name in ipairs(fields) do
    local field = conf[name]
    if field ~= nil and field ~= null then
      value[name] = field
    end
  end
  return value
end

-- The text of a configuration, with references to vaults unresolved.
function _M.text(conf)
  return encode(own(conf))
end

-- The same with what is no part of one, for the library to say so.
function _M.whole(conf)
  local value = {}
  for name, field in pairs(conf) do
    if field ~= null then
      value[name] = field
    end
  end
  return encode(value)
end

-- The text of a configuration with secrets resolved by `get`, and the number of
-- references to vaults; or nil and the error.
function _M.resolved(conf, get)
  local value, count = resolve(own(conf), get)
  if not value then
    return nil, count
  end
  return encode(value), count
end

return _M
