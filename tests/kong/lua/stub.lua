-- What the plugin needs of Kong, in an nginx with Lua: the parts of the PDK that it uses,
-- which do what those of Kong 3.9.3 do, and the phases in which Kong calls it.

local cjson = require "cjson.safe"

local _M = {}

local function exit(status, body, headers)
  assert(not ngx.headers_sent, "headers have already been sent")
  assert(type(status) == "number" and status >= 100 and status <= 599, "code")
  assert(body == nil or type(body) == "string" or type(body) == "table", "body")
  ngx.status = status
  for name, value in pairs(headers or {}) do
    assert(type(value) == "string" or type(value) == "table", "a header's value")
    ngx.header[name] = value
  end
  if not (headers and headers["content-length"]) then
    ngx.header["Content-Length"] = #(body or "")
  end
  if body then
    ngx.print(body)
  end
  return ngx.exit(status)
end

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  return text
end

function _M.install(directory)
  local vaults = directory .. "/vaults.json"
  local cached, known = {}, nil
  -- As Kong does with every write: of a consumer, its own key is dropped, and no other.
  local function forget_changed()
    local text = read(directory .. "/consumers.json")
    if text ~= known then
      for _, list in ipairs { cjson.decode(known or "[]"), cjson.decode(text or "[]") } do
        for _, consumer in ipairs(list ~= cjson.null and list or {}) do
          cached["consumers:" .. consumer.id] = nil
        end
      end
      known = text
    end
  end
  _G.kong = {
    -- Where nodes hear of each other.
    cluster_events = _G.cluster_events,
    configuration = { prefix = directory, role = "traditional",
                      database = _G.cluster_events and "postgres" or "off",
                      loaded_plugins = { acl = true, gatepass = true, prometheus = true } },
    log = { err = function(...) ngx.log(ngx.ERR, ...) end,
            warn = function(...) ngx.log(ngx.WARN, ...) end },
    response = { exit = exit },
    vault = {
      -- As vaults beyond the machine: by a socket, which takes its time.
      get = function(reference)
        local socket = ngx.socket.tcp()
        socket:settimeout(50)
        socket:connect("127.0.0.1", 1)
        local value = cjson.decode(read(vaults) or "{}")[reference]
        return value, value == nil and "could not get value from external vault" or nil
      end,
    },
    -- As from a database, whose cache is told of every change.
    db = { consumers = setmetatable({
      cache_key = function(_, ...) return "consumers:" .. table.concat({ ... }, ":") end,
    }, { __index = function(_, name)
      local field = name:match("^select_by_(.+)$")
      return function(_, value)
        for _, consumer in ipairs(cjson.decode(read(directory .. "/consumers.json"))) do
          if consumer[field] == value then
            return consumer
          end
        end
      end
    end }) },
    cache = {
      get = function(_, key, options, load, ...)
        ngx.sleep(_G.lookup_seconds or 0.001)
        forget_changed()
        local found = cached[key]
        if found and (not found.till or ngx.now() < found.till) then
          return found.value
        end
        local value, err = load(...)
        if err then
          return nil, err
        end
        local seconds = options and (value == nil and options.neg_ttl or options.ttl)
        cached[key] = { value = value, till = seconds and ngx.now() + seconds }
        return value
      end,
      invalidate_local = function(_, key)
        cached[key] = nil
      end,
    },
    client = {
      load_consumer = function(id)
        return kong.db.consumers:select_by_id(id)
      end,
      authenticate = function(consumer, credential)
        assert(consumer or credential, "either credential or consumer must be provided")
        ngx.ctx.authenticated_consumer, ngx.ctx.authenticated_credential = consumer, credential
      end,
    },
    ctx = {
      shared = setmetatable({}, {
        __index = function(_, name)
          return (ngx.ctx.shared or {})[name]
        end,
        __newindex = function(_, name, value)
          ngx.ctx.shared = ngx.ctx.shared or {}
          ngx.ctx.shared[name] = value
        end,
      }),
    },
  }
  _M.configuration = function()
    return cjson.decode(read(directory .. "/gatepass.json"))
  end
  _M.handler = require "kong.plugins.gatepass.handler"
  _M.conf = _M.configuration()
end

function _M.init_worker()
  _M.handler:init_worker()
  _M.handler:configure { _M.conf }
end

-- As after a change by the Admin API: new tables, and all workers are told.
function _M.reconfigure()
  _M.conf = _M.configuration()
  _M.handler:configure { _M.conf }
end

function _M.access()
  _M.handler:access(_M.conf)
  -- Kong's `access.after`.
  local path = ngx.var.request_uri:match("^[^?]*")
  local args = ngx.var.args
  ngx.var.upstream_uri = args and args ~= "" and path .. "?" .. args or path
end

-- What Kong's prometheus plugin would show.
function _M.metrics()
  local exporter = require "kong.plugins.prometheus.exporter"
  ngx.say(table.concat(exporter.lines(), "\n"))
end

-- Shows the client what plugins after this one would see.
function _M.header_filter()
  local ctx = ngx.ctx
  local consumer, credential = ctx.authenticated_consumer, ctx.authenticated_credential
  ngx.header["x-kong"] = cjson.encode {
    consumer = consumer,
    credential = credential and credential.id,
    shared = ctx.shared,
  }
end

function _M.log()
  _M.handler:log(_M.conf)
end

return _M
