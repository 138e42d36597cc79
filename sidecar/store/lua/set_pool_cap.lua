-- Says how much of its parent's account in one unit a member may hold and spend, all in all.
--
-- KEYS[1]  hash    the parent
-- KEYS[2]  hash    the member
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  parent's id
-- ARGV[2]  member's id
-- ARGV[3]  unit
-- ARGV[4]  cap; -1: none
--
-- Answers, the first that applies:
--   unknown  the customer is not a member of this pool; nothing changed
--   set      {held, spent}: what counts against the cap by now
if redis.call('HGET', KEYS[2], 'parent') ~= ARGV[1] then return {'unknown'} end
local field, POOL = 'member:' .. ARGV[2] .. ':' .. ARGV[3], '>ddd'
local _, held, spent = struct.unpack(POOL, redis.call('HGET', KEYS[1], field) or struct.pack(POOL, -1, 0, 0))
redis.call('HSET', KEYS[1], field, struct.pack(POOL, ARGV[4], held, spent))
redis.call('XADD', KEYS[3], '*', 'pool_cap', ARGV[2], 'data', cjson.encode({unit = ARGV[3], cap = ARGV[4]}))
return {'set', held, spent}
