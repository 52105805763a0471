-- The plugin's configuration: the fields of the core's, whose values the library checks
-- where Kong checks, by the same paths and in the same words. Without the library, as on
-- a control plane of hybrid mode, the names alone are checked; the data plane that has
-- one denies what it cannot read.

local typedefs = require "kong.db.schema.typedefs"
local configuration = require "kong.plugins.gatepass.configuration"
local names = require "kong.plugins.gatepass.fields"

local function check(conf)
  local library = require("kong.plugins.gatepass.library").library
  if not library then
    return true
  end
  local text = configuration.text(conf)
  local problems = library.gatepass_check(text, #text)
  if problems == nil then
    return true
  end
  return nil, require("ffi").string(problems.data, problems.size)
end

-- Any value: what may be in it, the library knows. A field that is not there comes as null.
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
}
