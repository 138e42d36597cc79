-- Keeps the answer of an attempt for its repetitions, as many bytes for each customer as there may be: those that end
-- first make room.
--
-- KEYS[1]  hash  the customer's answers, by name of the key; '' has their bytes
-- KEYS[2]  zset  the names by when they end, ms
-- ARGV[1]  name of the key
-- ARGV[2]  <reservation id> <answer>
-- ARGV[3]  how long it is kept, ms
-- ARGV[4]  most bytes of all
--
-- Answers, the first that applies:
--   kept
--- include clock
local now = now_ms()

local function drop(name)
  redis.call('HINCRBY', KEYS[1], '', 0 - redis.call('HSTRLEN', KEYS[1], name))
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end

for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do drop(name) end
drop(ARGV[1])
while tonumber(redis.call('HGET', KEYS[1], '')) + #ARGV[2] > tonumber(ARGV[4]) do
  drop(redis.call('ZRANGE', KEYS[2], 0, 0)[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], '', #ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 86400000)
redis.call('PEXPIRE', KEYS[2], 86400000)
return {'kept'}
