-- One active configuration in this worker: passes events to the library and executes the
-- resulting actions. Differences between Kong and plain nginx are in `host`.
--
-- An action's memory belongs to the library and is valid until the next call, so anything
-- needed later is copied into Lua; memory lent to the library stays referenced by a local
-- until the call returns.

local cjson = require "cjson.safe"
local ffi = require "ffi"
local semaphore = require "ngx.semaphore"
local exchange = require "kong.plugins.gatepass.exchange"
local headers = require "kong.plugins.gatepass.headers"
local library = require "kong.plugins.gatepass.library"
local log = require "kong.plugins.gatepass.log"
local timer = require "kong.plugins.gatepass.timer"

local ngx = ngx
local C = library.library
local now, soon = ngx.now, timer.soon
local read_body, get_body_data, get_body_file =
  ngx.req.read_body, ngx.req.get_body_data, ngx.req.get_body_file
local set_header, set_uri_args = headers.set, ngx.req.set_uri_args
local str, copy, new = ffi.string, ffi.copy, ffi.new

-- An action of another kind sends a callout and contains nothing else.
local SUSPEND, READ_BODY = ffi.C.GATEPASS_ACTION_SUSPEND, ffi.C.GATEPASS_ACTION_READ_BODY
local FORWARD, REPLY = ffi.C.GATEPASS_ACTION_FORWARD, ffi.C.GATEPASS_ACTION_REPLY
local NOT_SENT, NO_REPLY = ffi.C.GATEPASS_FAILURE_NOT_SENT, ffi.C.GATEPASS_FAILURE_NO_REPLY
local NOT_APPLIED = ffi.C.GATEPASS_ANNOUNCEMENT_FAILED

-- The outcome of a request that may pass, with all edits applied.
local PASSED = {}

local NONE = {}

-- How many identities are kept as the host has them; as many older ones are kept besides.
local MAX_KNOWN = 1000

-- Ends a wait that the library failed to end: twice the longest timeout of a service.
local LONGEST_WAIT = 120

-- How often announcements that failed are repeated, and how many of them are kept; the
-- oldest are given up first.
local RETRY_SECONDS = 1
local MAX_PENDING = 1000

-- Whether it is time for something that is due at `at`, `pause` after the last time: also
-- if the clock was set back meanwhile.
local function is_due(at, pause, moment)
  return moment >= at or at - moment > pause
end

-- The library's denial, for when there is no gateway to ask: it is the same but for
-- `Retry-After`, since a gateway that failed to open is retried every 5 seconds.
local function unavailable(code, detail)
  return {
    status = 503,
    headers = { ["content-type"] = "application/problem+json", ["cache-control"] = "no-store",
                ["retry-after"] = "5" },
    body = string.format('{"code":"%s","detail":"%s","status":503,"title":"%s"}', code, detail,
                         "Access cannot be decided at the moment"),
  }
end

local INVALID =
  unavailable("configuration_invalid", "the gateway is not configured correctly")
local NOT_ANNOUNCED =
  unavailable("revocation_unavailable",
              "the revocation is in force here, but could not be passed on: send it again")

-- As for a request that the library failed to process.
local NO_ANSWER = { status = 500, headers = {}, body = "" }

-- Fields of a reply for the library: all bytes in one piece, and their lengths.
local Frame = { capacity = 4096, bytes = new("char[?]", 4096),
                limit = 64, sizes = new("uint32_t[?]", 128), size = 0, count = 0 }

function Frame.clear()
  Frame.size, Frame.count = 0, 0
end

function Frame.grow(size)
  local capacity = math.max(Frame.capacity * 2, Frame.size + size)
  local bytes = new("char[?]", capacity)
  copy(bytes, Frame.bytes, Frame.size)
  Frame.bytes, Frame.capacity = bytes, capacity
end

function Frame.add(name, value)
  local count, at = Frame.count, Frame.size
  local name_size, value_size = #name, #value
  local size = at + name_size + value_size
  if size > Frame.capacity then
    Frame.grow(name_size + value_size)
  end
  if count == Frame.limit then
    local sizes = new("uint32_t[?]", count * 4)
    copy(sizes, Frame.sizes, count * 8)
    Frame.sizes, Frame.limit = sizes, count * 2
  end
  copy(Frame.bytes + at, name, name_size)
  copy(Frame.bytes + at + name_size, value, value_size)
  Frame.sizes[count * 2] = name_size
  Frame.sizes[count * 2 + 1] = value_size
  Frame.size, Frame.count = size, count + 1
end

function Frame.add_all(fields)
  for name, value in pairs(fields) do
    if type(value) == "table" then
      for i = 1, #value do
        Frame.add(name, value[i])
      end
    else
      Frame.add(name, value)
    end
  end
end

local function text(value)
  if value.data ~= nil then
    return str(value.data, value.size)
  end
end

local Gateway = {}
Gateway.__index = Gateway

-- Opens the gateway for a configuration in JSON; returns nil and the problems if it is
-- invalid.
function Gateway.open(configuration, host)
  local problem = library.problem or headers.problem
  if problem then
    return nil, problem
  end
  local problems = new("const gatepass_text *[1]")
  local directory = host.directory or ""
  local handle = C.gatepass_new(configuration, #configuration, directory, #directory,
                                host.consumer and 1 or 0, now() * 1000, problems)
  if handle == nil then
    return nil, text(problems[0])
  end
  return setmetatable({
    handle = ffi.gc(handle, C.gatepass_free),
    host = host,
    last = 0,
    -- Held requests by number: each has a semaphore, and later its outcome.
    held = {},
    -- Announcements of revocations that have failed so far, oldest first.
    pending = {},
    retry_at = 0,
    is_retrying = false,
    retired = false,
    -- What the host made of identities, by their bytes.
    known = {}, known_before = {}, known_count = 0,
  }, Gateway)
end

function Gateway:log()
  while true do
    local line = C.gatepass_log(self.handle)
    if line == nil then
      return
    end
    log.line(line.level, str(line.text.data, line.text.size))
  end
end

-- What requests have revoked here, for other nodes; nil if nothing.
function Gateway:announcements()
  local texts
  while true do
    local announced = C.gatepass_announcement(self.handle)
    if announced == nil then
      return self.host.announce and texts
    end
    texts = texts or {}
    texts[#texts + 1] = text(announced)
  end
end

-- Keeps texts, from the given position on, until they can be announced.
function Gateway:keep(texts, first)
  local pending = {}
  for i = first, #texts do
    pending[#pending + 1] = texts[i]
  end
  for i = 1, #self.pending do
    pending[#pending + 1] = self.pending[i]
  end
  while #pending > MAX_PENDING do
    table.remove(pending, 1)
    log.line(ngx.ERR, "other nodes will not be told of a revocation")
  end
  self.pending, self.retry_at = pending, now() + RETRY_SECONDS
end

-- Announces to the other nodes what was revoked here, in that order; returns nil and the
-- problem if that failed. The announcements are then repeated later, since the sender of a
-- revocation may be unable to: a logout token can be used only once.
function Gateway:announce_all(texts)
  local pending = self.pending
  for i = 1, #texts do
    pending[#pending + 1] = texts[i]
  end
  self.pending = {}
  local ctx = ngx.ctx
  -- For `over`, if this is the coroutine of a request whose client leaves meanwhile.
  ctx.gatepass_pending = pending
  for i = 1, #pending do
    local ran, ok, err = pcall(self.host.announce, pending[i])
    if not (ran and ok) then
      ctx.gatepass_pending = nil
      self:keep(pending, i)
      return nil, ran and err or ok
    end
  end
  ctx.gatepass_pending = nil
  return true
end

-- Announces what was revoked since the last call, while `suspended` requests wait for it
-- too; false if that failed.
function Gateway:announce(suspended)
  local texts = self:announcements()
  if not texts then
    return true
  end
  for i = 1, #suspended do
    suspended[i].announcing = true
  end
  local announced, err = self:announce_all(texts)
  if not announced then
    log.line(ngx.ERR, "other nodes do not know what was revoked: " .. tostring(err))
  end
  for i = 1, #suspended do
    local held = suspended[i]
    held.announcing, held.is_unannounced = false, held.is_unannounced or not announced
    if held.outcome then
      held.semaphore:post()
    end
  end
  return announced
end

-- Runs in a timer.
function Gateway.retry_announcements(premature, self)
  if not premature and #self.pending > 0 and self:announce_all(NONE) then
    log.line(ngx.NOTICE, "other nodes now know what was revoked")
  end
  self.is_retrying = false
end

-- The outcome of a request whose revocations may not have been announced to all nodes:
-- success would be wrong.
local function not_announced(outcome)
  local status = outcome.status
  return status and status < 300 and NOT_ANNOUNCED or outcome
end

-- Another node has revoked something.
function Gateway:apply_announcement(announced)
  if C.gatepass_apply_announcement(self.handle, announced, #announced, now() * 1000)
      == NOT_APPLIED then
    -- The library logs why, unless it panicked.
    log.line(ngx.ERR, "what another node revoked could not be applied here")
  end
  self:log()
end

-- The action's fields as a table of header fields; repeated ones are lists.
local function headers_of(action, first)
  local fields = {}
  for i = first, action.field_count - 1 do
    local field = action.fields[i]
    local name, value = text(field.name), text(field.value)
    local other = fields[name]
    if other == nil then
      fields[name] = value
    elseif type(other) == "table" then
      other[#other + 1] = value
    else
      fields[name] = { other, value }
    end
  end
  return fields
end

local function access_log_of(action)
  if action.access_log_count == 0 then
    return nil
  end
  local access_log = {}
  for i = 0, action.access_log_count - 1 do
    local field = action.access_log[i]
    access_log[text(field.name)] = text(field.value)
  end
  return access_log
end

-- A list without elements: the host sends no such field.
local ABSENT = {}

local function reply_of(action)
  local status, fields = action.number, headers_of(action, 0)
  if status == 204 or status == 304 then
    -- RFC 9110 section 8.6: no length is sent with 204, and with 304 only that of the 200.
    fields["content-length"] = ABSENT
  end
  return {
    status = status,
    headers = fields,
    body = text(action.body) or "",
    access_log = access_log_of(action),
  }
end

local function identity_of(action)
  return { access_log = access_log_of(action), anonymous = action.anonymous == 1,
           id = text(action.consumer_id), username = text(action.consumer_username),
           custom_id = text(action.consumer_custom_id), groups = text(action.consumer_groups),
           credential = text(action.credential) }
end

-- The identity that the upstream gets, as the host has it. Most requests have one that was
-- seen before: to read it anew would cost more than all the rest.
function Gateway:identity(action)
  local key = str(action.identity, action.identity_size)
  local identity = self.known[key]
  if identity == nil then
    identity = self.known_before[key] or self.host.identity(identity_of(action))
    if self.known_count == MAX_KNOWN then
      self.known, self.known_before, self.known_count = {}, self.known, 0
    end
    self.known[key], self.known_count = identity, self.known_count + 1
  end
  return identity
end

-- Only the query of the target changes: a token is removed from it.
local function set_target(target)
  local query = target:find("?", 1, true)
  set_uri_args(query and target:sub(query + 1) or "")
end

local function apply(action)
  for i = 0, action.field_count - 1 do
    local name, value = action.fields[i].name, action.fields[i].value
    if name.size > 0 then
      set_header(name.data, name.size, value.data, value.size)
    else
      set_target(text(value))
    end
  end
end

-- Runs in the coroutine of the request that the action is about.
function Gateway:forward(action)
  apply(action)
  self.host.forwarded(self:identity(action), ngx.ctx.gatepass_consumer)
  return PASSED
end

-- The same for a request that waits: its own coroutine will run it.
function Gateway:forward_of(action)
  local edits = {}
  for i = 0, action.field_count - 1 do
    local field = action.fields[i]
    edits[i + 1] = { text(field.name), text(field.value) }
  end
  return { edits = edits, identity = self:identity(action) }
end

function Gateway:forward_later(outcome)
  local edits = outcome.edits
  for i = 1, #edits do
    local name, value = edits[i][1], edits[i][2]
    if name ~= "" then
      set_header(name, #name, value, value and #value or 0)
    else
      set_target(value)
    end
  end
  self.host.forwarded(outcome.identity, ngx.ctx.gatepass_consumer)
end

-- Sends a callout in a coroutine of its own, so that it outlives the client that caused
-- it: other requests may wait for it.
function Gateway:send(action)
  local head = {}
  for i = 0, 3 do
    local field = action.fields[i]
    head[text(field.name)] = text(field.value)
  end
  local fields = headers_of(action, 4)
  fields.host = head[":authority"]
  local body = text(action.body)
  local callout = {
    id = action.callout,
    method = head[":method"],
    path = head[":path"],
    scheme = head[":scheme"],
    authority = head[":authority"],
    headers = fields,
    body = body ~= "" and body or (head[":method"] ~= "GET" and "" or nil),
    host = text(action.host),
    port = action.port ~= 0 and action.port or nil,
    timeout_ms = action.timeout_ms,
    may_repeat = action.may_repeat == 1,
  }
  return soon(Gateway.run, self, callout)
end

-- Runs in a timer.
function Gateway.run(_, self, callout)
  local reply, cause = exchange.send(callout, C.gatepass_max_reply(self.handle))
  local action
  if reply then
    Frame.clear()
    Frame.add_all(reply.headers)
    action = C.gatepass_reply(self.handle, callout.id, reply.status, Frame.bytes, Frame.size,
                              Frame.sizes, Frame.count, reply.body, #reply.body, now() * 1000)
  else
    action = C.gatepass_failed(self.handle, callout.id, cause, now() * 1000)
  end
  self:execute(action)
  self:log()
end

-- A lookup of one of Kong's own consumers, to be done in the request's own coroutine.
local function lookup_of(action)
  return { callout = action.callout, field = text(action.fields[1].value):sub(2),
           value = text(action.body) }
end

-- Looks up a consumer at the host and passes the result to the library.
function Gateway:look_up(lookup)
  local ctx = ngx.ctx
  ctx.gatepass_lookup = lookup
  local ok, consumer, groups = pcall(self.host.consumer, lookup.field, lookup.value)
  ctx.gatepass_lookup = nil
  if not ok then
    log.line(ngx.WARN, "no consumer: " .. tostring(consumer))
    return C.gatepass_failed(self.handle, lookup.callout, NO_REPLY, now() * 1000)
  end
  local body = consumer and cjson.encode {
    id = consumer.id, username = consumer.username, custom_id = consumer.custom_id,
    groups = groups,
  } or ""
  ctx.gatepass_consumer = consumer
  return C.gatepass_reply(self.handle, lookup.callout, consumer and 200 or 404, nil, 0, nil, 0,
                          body, #body, now() * 1000)
end

-- Wakes a held request, unless other nodes are still being told what it revoked.
function Gateway:settle(request, outcome)
  local held = self.held[request]
  if held then
    held.outcome = outcome
    if not held.announcing then
      held.semaphore:post()
    end
  end
end

-- What an action means for its request, which runs in this coroutine if `is_own`; nil if
-- the request waits on, or if there is none.
function Gateway:outcome_of(action, is_own)
  local kind = action.kind
  if kind == FORWARD then
    return is_own and self:forward(action) or self:forward_of(action)
  elseif kind == REPLY then
    return reply_of(action)
  elseif kind == READ_BODY then
    return { body_bytes = action.number }
  elseif kind == SUSPEND and action.callout ~= 0 and action.host.data == nil then
    return { lookup = lookup_of(action) }
  end
end

-- Executes an action and all that follow it. Returns the outcome for `own`, the request
-- in whose coroutine this runs. Everyone learns the outcome after the other nodes.
function Gateway:execute(action, own)
  local handle, outcome, unsent = self.handle, nil, nil
  local has_logged, others, suspended = false, NONE, NONE
  while action ~= nil do
    local request, logged = action.request, action.logged
    local is_own = request == own
    local ending = self:outcome_of(action, is_own)
    if ending and is_own then
      outcome = ending
      self.held[own] = nil
    elseif ending then
      others = others == NONE and {} or others
      others[#others + 1] = { request = request, outcome = ending }
    else
      if action.kind == SUSPEND then
        if is_own then
          self.held[own] = { semaphore = semaphore.new() }
        end
        suspended = suspended == NONE and {} or suspended
        suspended[#suspended + 1] = self.held[request]
      end
      if action.callout ~= 0 and not self:send(action) then
        unsent = unsent or {}
        unsent[#unsent + 1] = action.callout
      end
    end
    if logged == 1 then
      has_logged = true
      self:log()
    end
    action = C.gatepass_next(handle)
  end
  local announced = not has_logged or self:announce(suspended)
  if not announced then
    outcome = outcome and not_announced(outcome)
  end
  for i = 1, #others do
    local other = others[i]
    self:settle(other.request, announced and other.outcome or not_announced(other.outcome))
  end
  if unsent then
    for i = 1, #unsent do
      local next_action = C.gatepass_failed(handle, unsent[i], NOT_SENT, now() * 1000)
      outcome = self:execute(next_action, own) or outcome
    end
  end
  return outcome
end

-- A request ends with its client, and with it the lookup that it was doing.
function Gateway:gone(request, lookup)
  self.held[request] = nil
  self:execute(C.gatepass_gone(self.handle, request))
  if lookup then
    -- Others may wait for the same.
    self:execute(C.gatepass_failed(self.handle, lookup.callout, NO_REPLY,
                                   now() * 1000))
  end
  self:log()
end

function Gateway:wait(request)
  local held = self.held[request]
  if not held then
    return nil
  end
  local ok = held.semaphore:wait(LONGEST_WAIT)
  if not ok and not held.outcome then
    self:gone(request)
  end
  self.held[request] = nil
  local outcome = held.outcome
  if outcome and (held.is_unannounced or held.announcing) then
    return not_announced(outcome)
  end
  return outcome
end

-- The body, buffered in memory or in a file; from a file only as much as the library
-- asked for, since nginx may accept bodies of any size.
local function read_whole_body(most)
  read_body()
  local body = get_body_data()
  local path = not body and get_body_file()
  if not path then
    return body or ""
  end
  local file = io.open(path, "rb")
  body = file and file:read(most)
  if file then
    file:close()
  end
  return body
end

-- The outcome of a request whose first action had none, or one that asks for something.
function Gateway:finish(request, outcome)
  while true do
    outcome = outcome or self:wait(request)
    if not outcome then
      log.line(ngx.ERR, '{"cause":"the library gave no answer","event":"host_error"}')
      return NO_ANSWER
    end
    local action
    if outcome.lookup then
      action = self:look_up(outcome.lookup)
    elseif outcome.body_bytes then
      local body = read_whole_body(outcome.body_bytes)
      action = C.gatepass_body(self.handle, request, body, #(body or ""), now() * 1000)
    else
      return outcome
    end
    outcome = self:execute(action, request)
  end
end

-- Announces a body that HTTP/2 needs no field for and that was read before, as by another
-- plugin. The library must know of it: a length that is set later does not keep nginx from
-- sending it.
local function announce_body()
  local length = ngx.var.content_length
  if length and not ngx.var.http_content_length then
    set_header("content-length", 14, length, #length)
  end
end

-- Passes the request in whose access phase this runs to the library. Without a loop, so
-- that it is compiled as a whole.
function Gateway:begin(request)
  local address, peer, id, certificate, method, target, scheme = self.host.describe()
  if method == "OPTIONS" then
    -- It may be a preflight, which has none.
    announce_body()
  end
  local fields, count = headers.read()
  local action = C.gatepass_begin(self.handle, request, address, #address, peer, #peer,
                                  id, #id, certificate, #certificate, method, #method,
                                  target, #target, scheme, #scheme, fields, count,
                                  now() * 1000)
  return action
end

-- Decides the request in whose access phase this runs. Returns the reply, or nil if it
-- may pass.
function Gateway:access()
  local request = self.last + 1
  self.last = request
  local action = self:begin(request)
  if action ~= nil and action.is_all == 1 and action.kind == FORWARD
     and action.request == request then
    -- Most requests end here.
    apply(action)
    self.host.forwarded(self:identity(action))
    return nil
  end
  local outcome = self:execute(action, request)
  if not outcome or outcome.lookup or outcome.body_bytes then
    local ctx = ngx.ctx
    -- For `over`, if the client leaves meanwhile.
    ctx.gatepass_gateway, ctx.gatepass_request = self, request
    outcome = self:finish(request, outcome)
    ctx.gatepass_gateway = nil
  end
  if outcome == PASSED then
    return nil
  end
  if outcome.edits then
    self:forward_later(outcome)
    return nil
  end
  return outcome
end

-- Forwards metric samples; without a `measure` function they are dropped.
function Gateway:measure(measure)
  while true do
    local sample = C.gatepass_next_sample(self.handle)
    if sample == nil then
      return
    end
    if measure then
      local names, values = {}, {}
      for i = 0, sample.label_count - 1 do
        local label = sample.labels[i]
        names[i + 1], values[i + 1] = text(label.name), text(label.value)
      end
      measure(sample.kind, text(sample.name), names, values, sample.amount, text(sample.help))
    end
  end
end

function Gateway:tick()
  self:execute(C.gatepass_tick(self.handle, now() * 1000))
  self:log()
  if #self.pending > 0 and not self.is_retrying
      and is_due(self.retry_at, RETRY_SECONDS, now()) then
    -- Not here, since it may take long.
    self.is_retrying = soon(Gateway.retry_announcements, self) or false
  end
end

-- No new request uses this gateway any more.
function Gateway:retire()
  self.retired = true
  C.gatepass_retire(self.handle)
end

function Gateway:is_idle()
  return C.gatepass_in_progress(self.handle) == 0 and #self.pending == 0 and not self.is_retrying
end

-- The request of this phase is over. Must be called in the log phase.
local function over()
  local ctx = ngx.ctx
  local gateway = ctx.gatepass_gateway
  if gateway then
    ctx.gatepass_gateway = nil
    if ctx.gatepass_pending then
      gateway:keep(ctx.gatepass_pending, 1)
    end
    gateway:gone(ctx.gatepass_request, ctx.gatepass_lookup)
  end
end

return { open = Gateway.open, over = over, is_due = is_due, INVALID = INVALID }
