-- All times are the store's, in ms.
local NEVER = 9007199254740991

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
