-- What stands before a script that is to work on a shifted clock: how far it is ahead of the server's, in ms, comes
-- behind the arguments that the script knows of. The script asks for the time, and for ids by the time, as ever.
local AHEAD_MS, server = tonumber(table.remove(ARGV)), redis
local redis = setmetatable({call = function(command, ...)
  if command ~= 'TIME' and (command ~= 'XADD' or select(2, ...) ~= '*') then return server.call(command, ...) end
  local time = server.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000) + AHEAD_MS
  if command == 'TIME' then return {math.floor(now / 1000), now % 1000 * 1000} end
  local stream = ...
  -- A stream goes only forwards: what comes in the same instant, or when the clock was put back, gets the next id.
  local id = server.pcall('XADD', stream, string.format('%.0f-0', now), select(3, ...))
  return type(id) == 'string' and id or server.call('XADD', ...)
end}, {__index = server})
