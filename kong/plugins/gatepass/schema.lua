-- The plugin's schema: the same top-level fields as in the core. The library validates
-- their values when Kong validates the configuration, with the same paths and messages.
-- Without the library, as on a control plane in hybrid mode, only the names are checked;
-- a data plane then denies all requests of a configuration that it cannot read.

local typedefs = require "kong.db.schema.typedefs"
local configuration = require "kong.plugins.gatepass.configuration"
local names = require "kong.plugins.gatepass.fields"

local function check_text(text)
  local library = require("kong.plugins.gatepass.library").library
  if not library then
    return true
  end
  local problems = library.gatepass_check(text, #text)
  if problems == nil then
    return true
  end
  return nil, require("ffi").string(problems.data, problems.size)
end

local function check(conf)
  return check_text(configuration.text(conf))
end

local known = {}
for _, name in ipairs(names) do
  known[name] = true
end

-- Of a configuration with an unknown field Kong itself says only that, and asks no validator:
-- this one is asked all the same.
local function check_with_unknown(entity)
  local conf = entity.config
  for name in pairs(type(conf) == "table" and conf or {}) do
    if not known[name] then
      return check_text(configuration.whole(conf))
    end
  end
  return true
end

-- Any value: the library knows what is allowed in it. A missing field is passed as null.
local any = { type = { "array", "boolean", "null", "number", "object", "string" } }

local fields = {}
for i, name in ipairs(names) do
  fields[i] = { [name] = { type = "json", json_schema = { inline = any } } }
end

return {
  name = "gatepass",
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = { type = "record", required = true, fields = fields, custom_validator = check } },
  },
  entity_checks = {
    { custom_entity_check = { field_sources = { "config" }, run_with_invalid_fields = true,
                              fn = check_with_unknown } },
  },
}
