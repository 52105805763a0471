-- The gateways of this worker, by configuration: opened when first needed, ticked ten
-- times a second, reopened when a secret changed, and kept until their last request is
-- over.

local gateway = require "kong.plugins.gatepass.gateway"
local log = require "kong.plugins.gatepass.log"
local timer = require "kong.plugins.gatepass.timer"

local ngx = ngx
local now, is_due = ngx.now, gateway.is_due

-- The core's `gateway::TICK`.
local TICK_SECONDS = 0.1

-- How often vaults are queried, and a gateway that failed to open is retried.
local REFRESH_SECONDS = 5

-- How often a request checks whether another one has loaded the secrets.
local ASKING_PAUSE_SECONDS = 0.005

-- How often metric samples are forwarded.
local MEASURE_SECONDS = 1

-- The library's kind of metric that only grows.
local COUNTER = 1

local Worker = {}
Worker.__index = Worker

function Worker.new(host)
  return setmetatable({
    host = host,
    -- By the text of the configuration.
    entries = {},
    -- The same by Kong's table, for as long as Kong uses that.
    by_conf = setmetatable({}, { __mode = "k" }),
    -- Gateways that get no new requests.
    retired = {},
    measure_at = 0,
  }, Worker)
end

-- Opens the gateway of an entry. An existing one stays if the new one fails to open.
function Worker:refresh(entry)
  -- nginx has no sockets while a worker starts, so a remote vault may not be reachable
  -- yet. The next tick or request tries again.
  local is_start = ngx.get_phase() == "init_worker"
  entry.refresh_at = now() + (is_start and 0 or REFRESH_SECONDS)
  entry.asking_until = entry.refresh_at
  local text, count = self.host.resolved(entry.conf)
  entry.asking_until = 0
  entry.references = text and count or entry.references
  if not text and is_start then
    return
  end
  if text and text == entry.text and entry.gateway then
    return
  end
  local opened, problem
  if text then
    opened, problem = gateway.open(text, self.host)
  else
    problem = count
  end
  if opened then
    if entry.gateway then
      self:retire(entry.gateway)
    end
    entry.gateway, entry.text, entry.problem = opened, text, nil
    opened:log()
  elseif problem ~= entry.problem then
    entry.problem = problem
    log.line(ngx.ERR, "invalid configuration, "
        .. (entry.gateway and "the one before stays in use: " or "all requests are denied: ")
        .. tostring(problem):gsub("\n", "; "))
  end
end

function Worker:retire(old)
  old:retire()
  self.retired[#self.retired + 1] = old
end

function Worker:entry(conf)
  local entry = self.by_conf[conf]
  if not entry then
    local text = self.host.text(conf)
    entry = self.entries[text]
    if not entry then
      entry = { conf = conf, references = 0, asking_until = 0 }
      self.entries[text] = entry
      self:refresh(entry)
    end
    self.by_conf[conf] = entry
  end
  return entry
end

-- Opens the gateways in use, so that keys are fetched before the first request; retires
-- the others.
function Worker:configure(confs)
  local used = {}
  for _, conf in ipairs(confs or {}) do
    used[self:entry(conf)] = true
  end
  for text, entry in pairs(self.entries) do
    if not used[entry] then
      self.entries[text] = nil
      if entry.gateway then
        self:retire(entry.gateway)
      end
    end
  end
  for conf, entry in pairs(self.by_conf) do
    if not used[entry] then
      self.by_conf[conf] = nil
    end
  end
end

-- Waits for a gateway that was not open when its worker started. One request queries the
-- vaults, the others wait for it.
function Worker:wait_for(entry)
  if is_due(entry.refresh_at, REFRESH_SECONDS, now()) then
    self:refresh(entry)
  end
  while not entry.gateway and not is_due(entry.asking_until, REFRESH_SECONDS, now()) do
    ngx.sleep(ASKING_PAUSE_SECONDS)
  end
  return entry.gateway
end

-- Counts a request that is denied because there is no gateway, as the gateway would.
function Worker:count_unconfigured()
  if self.host.measure then
    self.host.measure(COUNTER, "gatepass_requests_total", { "outcome", "code" },
                      { "denied", "configuration_invalid" }, 1,
                      "Requests, by outcome and code of the denial.")
  end
end

-- Decides the request: returns the reply, or nil if it may pass.
function Worker:access(conf)
  local opened = self:entry(conf).gateway or self:wait_for(self:entry(conf))
  if not opened then
    self:count_unconfigured()
    return gateway.INVALID
  end
  return opened:access()
end

-- Telling other nodes of a revocation waits for the database. Meanwhile entries come and go,
-- gateways retire, and the next tick may run: loops go over copies.
function Worker:tick()
  local moment = now()
  local measures = is_due(self.measure_at, MEASURE_SECONDS, moment)
  if measures then
    self.measure_at = moment + MEASURE_SECONDS
  end
  local entries, due = {}, {}
  for _, entry in pairs(self.entries) do
    entries[#entries + 1] = entry
    if is_due(entry.refresh_at, REFRESH_SECONDS, moment)
        and (entry.references > 0 or not entry.gateway) then
      due[#due + 1] = entry
    end
  end
  for i = 1, #entries do
    local opened = entries[i].gateway
    if opened then
      opened:tick()
      if measures then
        opened:measure(self.host.measure)
      end
    end
  end
  local retired = { unpack(self.retired) }
  for i = 1, #retired do
    retired[i]:tick()
    retired[i]:measure(self.host.measure)
  end
  for i = #self.retired, 1, -1 do
    if self.retired[i]:is_idle() then
      table.remove(self.retired, i)
    end
  end
  for i = 1, #due do
    self:refresh(due[i])
  end
end

-- Another node has revoked something: applies it to the gateways that share revocations
-- with the one there.
function Worker:apply_announcement(announced)
  for _, entry in pairs(self.entries) do
    if entry.gateway then
      entry.gateway:apply_announcement(announced)
    else
      log.line(ngx.WARN, "what another node revoked is dropped by a configuration that is not in "
          .. "use yet")
    end
  end
end

-- Must be called once in each worker.
function Worker:start()
  local function tick(premature)
    log.flush()
    if premature then
      return
    end
    local ok, err = pcall(self.tick, self)
    if not ok then
      log.line(ngx.ERR, tostring(err))
    end
  end
  local ok, err = timer.every(TICK_SECONDS, tick)
  if not ok then
    log.line(ngx.ERR, "no timer, so no keys are fetched: " .. tostring(err))
  end
end

return { new = Worker.new, over = gateway.over }
