-- Charges the real cost of a request and ends its hold. Safe to repeat; it takes effect once.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the hold
-- KEYS[3]  zset    deadlines of the partition's open holds
-- KEYS[4]  stream  the partition's journal
-- ARGV[1]  name of the hold in the zset: <customer id>:<reservation id>
-- ARGV[2]  unit
-- ARGV[3]  charge, digits
-- ARGV[4]  usage: what the meters read
-- ARGV[5]  source: where the charge comes from
--
-- Answers, the first that applies:
--   unknown    there is no such hold, or it ended long ago; nothing changed
--   replayed   {state, charged, owed, late, available}: it has ended before; nothing changed
--   committed  {charged, owed, late, available}: charged now; late: it had expired, so its hold had gone back
--
-- An open hold whose deadline has passed is still held, so its commit is in time.
local record = redis.call('GET', KEYS[2])
if not record then return {'unknown'} end
local state, unit, held, rule = string.match(record, '^(%l+) (%S+) (%d+) %d+ %d+ (.*)$')
if not state then return ended('replayed', record, redis.call('HGET', KEYS[1], 'unit:' .. ARGV[2])) end
assert(unit == ARGV[2], 'the hold is in another unit')
local late = '0'
if state == 'expired' then held, late = '0', '1' end

local charged, owed, repaid, available = settle(KEYS[1], unit, held, ARGV[3])
redis.call('SET', KEYS[2], 'committed ' .. charged .. ' ' .. owed .. ' ' .. late, 'PX', ENDED_KEPT_MS)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'settlement', ARGV[1] .. ' ' .. unit .. ' committed ' ..
  late .. ' ' .. held .. ' ' .. charged .. ' ' .. owed .. ' ' .. repaid .. ' ' .. available,
  'rule', rule, 'usage', ARGV[4], 'source', ARGV[5])
return {'committed', charged, owed, late, available}
