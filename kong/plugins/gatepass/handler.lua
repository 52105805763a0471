-- The plugin for Kong. It decides nothing: the library does.

local worker = require "kong.plugins.gatepass.worker"

local kong = kong
local ngx = ngx

local Gatepass = {
  -- That of Kong's jwt plugin, whose place it takes: after what looks at every request
  -- whoever sent it (bot-detection 2500, cors 2000), before what asks who it is (acl 950,
  -- rate-limiting 910, request-transformer 801).
  PRIORITY = 1450,
  VERSION = "0.1.0",
}

local host = {
  -- Memory that all workers of this Kong see.
  directory = "/dev/shm",
}

function host.describe(add)
  local var = ngx.var
  add("", var.remote_addr or "")
  add("", var.kong_request_id or var.request_id or "")
  add(":method", ngx.req.get_method())
  -- As the client sent it: the rules decide on what the router saw.
  add(":path", var.request_uri)
  local authority = var.http_host
  if authority then
    add(":authority", authority)
  end
  add(":scheme", var.scheme)
end

function host.secret(reference)
  return kong.vault.get(reference)
end

local function note(notes)
  if notes then
    local shared = kong.ctx.shared
    for name, value in pairs(notes) do
      shared[(name:gsub("%.", "_"))] = value
    end
  end
end

-- Tells Kong, and the plugins after this one, who it is.
function host.forwarded(identity)
  note(identity.notes)
  local credential = identity.credential
  if not credential and not identity.username and not identity.id then
    return
  end
  local consumer
  if identity.id or identity.username or identity.custom_id then
    consumer = { id = identity.id, username = identity.username, custom_id = identity.custom_id }
  end
  if identity.anonymous then
    kong.client.authenticate(consumer, nil)
    return
  end
  kong.client.authenticate(consumer, { id = credential, key = credential })
  local groups = identity.groups
  if groups then
    local list = {}
    for group in groups:gmatch("[^, ]+") do
      list[#list + 1] = group
    end
    kong.ctx.shared.authenticated_groups = list
  end
end

local gateways = worker.new(host)

function Gatepass:init_worker()
  gateways:start()
end

function Gatepass:configure(configs)
  gateways:configure(configs)
end

function Gatepass:access(conf)
  local reply = gateways:access(conf)
  if reply then
    note(reply.notes)
    return kong.response.exit(reply.status, reply.body, reply.headers)
  end
end

function Gatepass:log()
  worker.over()
end

return Gatepass
