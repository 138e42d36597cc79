-- Gives the whole hold of a request back. Safe to repeat.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the hold
-- KEYS[3]  zset    deadlines of the partition's open holds
-- KEYS[4]  stream  the partition's journal
-- ARGV[1]  name of the hold in the zset: <customer id>:<reservation id>
-- ARGV[2]  unit
-- ARGV[3]  reason
--
-- Answers, the first that applies:
--   unknown   there is no such hold; a mark stays, so that a reserve of it that is still under way does nothing
--   replayed  {state, charged, owed, late, available}: it has ended before; nothing changed
--   released  {charged, owed, late, available}: it is free again; charged, owed and late are 0
local record = redis.call('GET', KEYS[2])
if not record then
  redis.call('SET', KEYS[2], 'released 0 0 0', 'PX', ENDED_KEPT_MS)
  return {'unknown'}
end
local unit, held, rule = string.match(record, '^open (%S+) (%d+) %d+ %d+ (.*)$')
if not unit then return ended('replayed', record, redis.call('HGET', KEYS[1], 'unit:' .. ARGV[2])) end
assert(unit == ARGV[2], 'the hold is in another unit')

local charged, owed, repaid, available = settle(KEYS[1], unit, held, '0')
redis.call('SET', KEYS[2], 'released 0 0 0', 'PX', ENDED_KEPT_MS)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'settlement', ARGV[1] .. ' ' .. unit .. ' released 0 ' ..
  held .. ' ' .. charged .. ' ' .. owed .. ' ' .. repaid .. ' ' .. available, 'rule', rule, 'reason', ARGV[3])
return {'released', charged, owed, '0', available}
