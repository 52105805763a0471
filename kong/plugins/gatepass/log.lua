-- Writes lines into nginx's error log. To what a request logs nginx adds the request's line,
-- and in its query may be a token (`token.from_params`): such lines wait for the worker's next
-- tick, which has no request.

local timer = require "kong.plugins.gatepass.timer"

local ngx = ngx
local get_phase, exiting = ngx.get_phase, ngx.worker.exiting

-- Phases without a request.
local ALONE = { init = true, init_worker = true, timer = true }

-- How many lines may wait: for a tenth of a second, or until nginx runs timers again.
local MAX_WAITING = 10000

local waiting, lost = {}, 0

local Log = {}

-- Writes the lines that wait. Must be called where there is no request.
function Log.flush()
  local lines, missing = waiting, lost
  if #lines == 0 then
    return
  end
  waiting, lost = {}, 0
  for i = 1, #lines do
    ngx.log(lines[i].level, "[gatepass] ", lines[i].text)
  end
  if missing > 0 then
    ngx.log(ngx.ERR, "[gatepass] ", missing, " more lines are lost: nginx ran no timer in time")
  end
end

-- A level of nginx, and the line.
function Log.line(level, text)
  if #waiting < MAX_WAITING then
    waiting[#waiting + 1] = { level = level, text = text }
  else
    lost = lost + 1
  end
  if ALONE[get_phase()] then
    Log.flush()
  elseif exiting() then
    -- There is no tick any more, but a timer without a delay runs.
    timer.soon(Log.flush)
  end
end

return Log
