-- An open hold is its entry in its partition's zset of deadlines, and nothing else. The entry is
--   <customer id>:<reservation id> <unit> <held> <ttl ms> <rule>
-- which whoever reserved can write again exactly. Its score is
--   the deadline, ms               while it is open
--   minus the time, ms, to forget  when it has ended and its reserve may still come, which then adds nothing
-- What committed or released a hold leaves no entry: its reserve was here already.

-- All times are the store's.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
