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

-- Milliseconds that callouts took.
local BUCKETS = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000 }

-- What is counted, by name: nil before it was, false where it cannot be.
local families = {}

local function family(kind, name, labels)
  local found = families[name]
  if found == nil then
    local prometheus = require("kong.plugins.prometheus.exporter").get_prometheus()
    local help = "See the documentation of Gatepass"
    if not prometheus then
      found = false
    elseif kind == 1 then
      found = prometheus:counter(name, help, labels)
    elseif kind == 2 then
      found = prometheus:gauge(name, help, labels)
    else
      found = prometheus:histogram(name, help, labels, BUCKETS)
    end
    families[name] = found or false
  end
  return found
end

-- On the page of Kong's prometheus plugin, where that is in use.
function host.measure(kind, name, labels, values, amount)
  if not kong.configuration.loaded_plugins.prometheus then
    return
  end
  local metric = family(kind, name, labels)
  if not metric then
    return
  end
  if kind == 1 then
    metric:inc(amount, values)
  elseif kind == 2 then
    metric:set(amount, values)
  else
    metric:observe(amount, values)
  end
end

-- Made once for each, since neither can be compiled: names in `kong.ctx.shared`, and the
-- groups in the text of a header.
local shared_names = setmetatable({}, { __index = function(names, name)
  names[name] = name:gsub("%.", "_")
  return names[name]
end })
local group_lists = setmetatable({}, { __mode = "v", __index = function(lists, groups)
  local list = {}
  for group in groups:gmatch("[^, ]+") do
    list[#list + 1] = group
  end
  lists[groups] = list
  return list
end })

local function publish(fields)
  if fields then
    local shared = kong.ctx.shared
    for name, value in pairs(fields) do
      shared[shared_names[name]] = value
    end
  end
end

-- Tells Kong, and the plugins after this one, who it is.
function host.forwarded(identity)
  publish(identity.access_log)
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
    kong.ctx.shared.authenticated_groups = group_lists[groups]
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
    publish(reply.access_log)
    return kong.response.exit(reply.status, reply.body, reply.headers)
  end
end

function Gatepass:log()
  worker.over()
end

return Gatepass
