-- Writes lines into nginx's error log. To what a request logs nginx adds the request's line,
-- and in its query may be a token (`token.from_params`): a timer writes it instead.

local ngx = ngx
local timer_at, get_phase = ngx.timer.at, ngx.get_phase

-- Phases without a request.
local ALONE = { init = true, init_worker = true, timer = true }

local lines, is_due = {}, false

local function write()
  local written = lines
  lines, is_due = {}, false
  for i = 1, #written do
    ngx.log(written[i].level, "[gatepass] ", written[i].text)
  end
end

-- A level of nginx, and the line.
return function(level, text)
  lines[#lines + 1] = { level = level, text = text }
  if ALONE[get_phase()] then
    write()
  elseif not is_due then
    is_due = timer_at(0, write)
    if not is_due then
      -- A worker that ends, or one with too many timers.
      write()
    end
  end
end
