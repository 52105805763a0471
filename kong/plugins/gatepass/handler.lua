-- The plugin for Kong. It makes no decisions: the library does.

local ffi = require "ffi"
local configuration = require "kong.plugins.gatepass.configuration"
local worker = require "kong.plugins.gatepass.worker"

local kong = kong
local ngx = ngx

local Gatepass = {
  -- The priority of Kong's jwt plugin, which it replaces: after plugins that inspect
  -- every request regardless of its sender (bot-detection 2500, cors 2000), before
  -- plugins that use the identity (acl 950, rate-limiting 910, request-transformer 801).
  PRIORITY = 1450,
  VERSION = "0.2.0",
}

local host = {
  -- Memory shared by all workers of this Kong.
  directory = "/dev/shm",
}

function host.describe()
  local var = ngx.var
  local address, scheme, certificate = var.remote_addr or "", var.scheme, nil
  -- A certificate that failed verification proves nothing.
  if scheme == "https" and var.ssl_client_verify == "SUCCESS" then
    certificate = var.ssl_client_raw_cert
  end
  -- Client addresses in headers do not affect the second one. The target is as the client
  -- sent it: the rules must see the path that the router saw.
  return address, var.realip_remote_addr or address,
    var.kong_request_id or var.request_id or "", certificate or "", ngx.req.get_method(),
    var.request_uri, scheme
end

local function secret(reference)
  local ok, value, err = pcall(kong.vault.get, reference)
  if not ok then
    return nil, value
  end
  return value, err
end

host.text = configuration.text

function host.resolved(conf)
  return configuration.resolved(conf, secret)
end

-- Durations of callouts in milliseconds.
local BUCKETS = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 60000 }

local COUNTER, GAUGE = ffi.C.GATEPASS_METRIC_COUNTER, ffi.C.GATEPASS_METRIC_GAUGE

-- Metrics by name: nil before they are registered, false if that failed.
local families = {}

local function family(kind, name, labels, help)
  local found = families[name]
  if found == nil then
    local prometheus = require("kong.plugins.prometheus.exporter").get_prometheus()
    if not prometheus then
      found = false
    elseif kind == COUNTER then
      found = prometheus:counter(name, help, labels)
    elseif kind == GAUGE then
      found = prometheus:gauge(name, help, labels)
    else
      found = prometheus:histogram(name, help, labels, BUCKETS)
    end
    families[name] = found or false
  end
  return found
end

-- On the page of Kong's prometheus plugin, if that is enabled.
function host.measure(kind, name, labels, values, amount, help)
  if not kong.configuration.loaded_plugins.prometheus then
    return
  end
  local metric = family(kind, name, labels, help)
  if not metric then
    return
  end
  if kind == COUNTER then
    metric:inc(amount, values)
  elseif kind == GAUGE then
    metric:set(amount, values)
  else
    metric:observe(amount, values)
  end
end

-- A name in `kong.ctx.shared`.
local function shared_name(name)
  return (name:gsub("%.", "_"))
end

-- Decodes a header's value.
local function decode(value)
  return (value:gsub("%%(%x%x)", function(digits)
    return string.char(tonumber(digits, 16))
  end))
end

-- The groups in a header's value.
local function groups_of(groups)
  local list = {}
  for group in groups:gmatch("[^,]+") do
    list[#list + 1] = decode(group)
  end
  return list
end

local UUID = "^" .. ("%x"):rep(8) .. ("%-" .. ("%x"):rep(4)):rep(3) .. "%-" .. ("%x"):rep(12) .. "$"

-- Kong's plugins identify consumers by their ids (rate-limiting counts by address where
-- there is none, proxy-cache gives one consumer's answer to another), and query the
-- database for UUIDs only (acl fails on others): a consumer without a UUID gets one
-- derived from its name (RFC 9562 section 5.8).
local function id_of(name)
  if name:match(UUID) then
    return name:lower()
  end
  local hash = ngx.md5("gatepass consumer " .. name)
  return (hash:gsub("^(%x%x%x%x%x%x%x%x)(%x%x%x%x)%x(%x%x%x)%x(%x%x%x)(%x+)$", "%1-%2-8%3-8%4-%5"))
end

-- How long the result of looking up a consumer's id by another field is cached, found or
-- not; Kong itself caches the consumer, and invalidates it when it changes.
local FOUND = { ttl = 300, neg_ttl = 5 }

local function id_by(field, value)
  local consumer, err = kong.db.consumers["select_by_" .. field](kong.db.consumers, value)
  if err then
    return nil, err
  end
  return consumer and consumer.id
end

local function consumer_of(id)
  local key = kong.db.consumers:cache_key(id)
  local consumer, err = kong.cache:get(key, nil, kong.client.load_consumer, id)
  if err then
    error(err)
  end
  return consumer
end

local function consumer_by(field, value)
  local key = kong.db.consumers:cache_key("gatepass", field, value)
  local id, err = kong.cache:get(key, FOUND, id_by, field, value)
  if err then
    error(err)
  end
  local consumer = id and consumer_of(id)
  if id and not (consumer and consumer[field] == value) then
    -- The consumer has changed since.
    kong.cache:invalidate_local(key)
    id, err = id_by(field, value)
    if err then
      error(err)
    end
    consumer = id and consumer_of(id)
  end
  return consumer
end

-- Kong's consumer by one of its fields, and its groups for the acl plugin; nil if there
-- is none.
function host.consumer(field, value)
  local consumer
  if field ~= "id" then
    consumer = consumer_by(field, value)
  elseif value:match(UUID) then
    consumer = consumer_of(value)
  end
  if not consumer or not kong.configuration.loaded_plugins.acl then
    return consumer or nil
  end
  local known, err = require("kong.plugins.acl.groups").get_consumer_groups(consumer.id)
  if err then
    error(err)
  end
  local groups = {}
  for i = 1, known and #known or 0 do
    groups[i] = known[i]
  end
  return consumer, groups
end

local function publish(fields)
  if fields then
    local shared = kong.ctx.shared
    for name, value in pairs(fields) do
      shared[shared_name(name)] = value
    end
  end
end

-- An identity as Kong and the plugins after this one have it. Requests share it.
function host.identity(fields)
  local identity = { names = {}, values = {} }
  for name, value in pairs(fields.access_log or {}) do
    local count = #identity.names + 1
    identity.names[count], identity.values[count] = shared_name(name), value
  end
  local id, username, custom_id = fields.id, fields.username, fields.custom_id
  local credential = fields.credential and decode(fields.credential)
  if not credential and not username and not id then
    return identity
  end
  local consumer = {
    id = id and id_of(id),
    username = username and decode(username),
    custom_id = custom_id and decode(custom_id),
  }
  identity.consumer = consumer
  if fields.anonymous then
    return identity
  end
  consumer.id = consumer.id or id_of(credential or username)
  identity.id = id
  identity.credential = { id = credential, key = credential }
  identity.groups = fields.groups and groups_of(fields.groups)
  return identity
end

-- Sets the consumer for Kong and for the plugins after this one. `found`: Kong's own that
-- this request looked up.
function host.forwarded(identity, found)
  local names, groups = identity.names, identity.groups
  if #names > 0 or groups then
    local shared, values = kong.ctx.shared, identity.values
    for i = 1, #names do
      shared[names[i]] = values[i]
    end
    if groups then
      shared.authenticated_groups = groups
    end
  end
  local consumer = identity.consumer
  if consumer then
    if found and found.id == identity.id then
      consumer = found
    end
    kong.client.authenticate(consumer, identity.credential)
  end
end

local gateways = worker.new(host)

-- Nodes that share a database announce revocations through it to one worker of each other
-- node, whose data all workers of that node share.
local CHANNEL = "gatepass_revocations"

local function join_nodes()
  local events = kong.cluster_events
  if not events or kong.configuration.database == "off" then
    return
  end
  function host.announce(text)
    return events:broadcast(CHANNEL, text)
  end
  events:subscribe(CHANNEL, function(text)
    gateways:apply_announcement(text)
  end)
end

function Gatepass:init_worker()
  gateways:start()
  join_nodes()
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
