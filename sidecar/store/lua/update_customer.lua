-- Writes what is changed about a customer, if nobody has changed it since it was read.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  the version that was read; the new one is one more
-- ARGV[3]  external id
-- ARGV[4]  display name
-- ARGV[5]  status
-- ARGV[6]  metadata, JSON
-- ARGV[7]  who it was merged into, or ''
-- ARGV[8]  what it may owe, as in overage.lua
-- ARGV[9]  its other external ids, JSON
-- ARGV[10] its terms of periods, JSON
-- ARGV[11] all of this as JSON, for the journal
-- ARGV[12..]  the external ids that requests may name it by
--
-- Answers, the first that applies:
--   unknown  nothing changed
--   changed  it has another version; nothing changed
--   updated
local now = redis.call('HMGET', KEYS[1], 'status', 'version', 'external_id', 'aliases', 'periods')
if not now[1] then return {'unknown'} end
if (now[2] or '1') ~= ARGV[2] then return {'changed'} end
local before = now[4] and cjson.decode(now[4]) or {}
before[#before + 1] = now[3]
for _, name in ipairs(before) do redis.call('HDEL', KEYS[1], 'external:' .. name) end
redis.call('HSET', KEYS[1], 'version', ARGV[2] + 1, 'external_id', ARGV[3],
  'display_name', ARGV[4], 'status', ARGV[5], 'metadata', ARGV[6])
for index = 12, #ARGV do redis.call('HSET', KEYS[1], 'external:' .. ARGV[index], '1') end
if ARGV[8] ~= '' then
  redis.call('HSET', KEYS[1], 'overage', ARGV[8])
else
  redis.call('HDEL', KEYS[1], 'overage')
end
if ARGV[9] ~= '[]' then
  redis.call('HSET', KEYS[1], 'aliases', ARGV[9])
elseif now[4] then
  redis.call('HDEL', KEYS[1], 'aliases')
end
if ARGV[10] ~= '{}' then
  redis.call('HSET', KEYS[1], 'periods', ARGV[10])
elseif now[5] then
  redis.call('HDEL', KEYS[1], 'periods')
end
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'merged_into', ARGV[7]) end
redis.call('XADD', KEYS[2], '*', 'customer', ARGV[1], 'data', ARGV[11])
return {'updated'}
