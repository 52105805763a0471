-- Timers. Kong replaces nginx's by its own, which follow the clock: after it was set back they
-- stand still until it has caught up. And in a worker that shuts down they end after some ten
-- seconds, although its requests may take longer. Kong keeps nginx's under another name.

local exiting, kong_at, kong_every = ngx.worker.exiting, ngx.timer.at, ngx.timer.every

local nginx_at, nginx_every = rawget(_G, "native_timer_at"), rawget(_G, "native_timer_every")

local _M = {}

-- Runs a function without a request, as soon as possible.
function _M.soon(run, ...)
  return (nginx_at and exiting() and nginx_at or kong_at)(0, run, ...)
end

-- Runs a function again and again. In a worker that shuts down nginx's timer does not, and
-- Kong's at least for a while.
function _M.every(seconds, run)
  if not nginx_every then
    return kong_every(seconds, run)
  end
  kong_every(seconds, function(premature)
    if exiting() then
      run(premature)
    end
  end)
  return nginx_every(seconds, run)
end

return _M
