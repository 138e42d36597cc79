-- Names the holds of one partition whose deadline has passed, the oldest first. Forgets what ended long ago.
--
-- KEYS[1]  zset    deadlines of the partition's open holds
-- KEYS[2]  zset    the partition's holds that expired lately, by when to forget them
-- ARGV[1]  most holds to answer, and to forget in each zset
--
-- Answers the holds, as their entries in the zset.
local now = now_ms()

local function forget(zset, from, to)
  local over = redis.call('ZRANGEBYSCORE', zset, from, to, 'LIMIT', 0, ARGV[1])
  if #over > 0 then redis.call('ZREM', zset, unpack(over)) end
end

forget(KEYS[1], -now, '(0')
forget(KEYS[2], 0, now)
return redis.call('ZRANGEBYSCORE', KEYS[1], '(0', now, 'LIMIT', 0, ARGV[1])
