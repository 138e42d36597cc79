-- Gives the whole hold of a request back. Safe to repeat.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  zset    deadlines of the partition's open holds
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  the hold, as its entry in the zset
-- ARGV[2]  field of its balance: unit:<unit>
-- ARGV[3]  amount that is held
-- ARGV[4]  reason
--
-- Answers, the first that applies:
--   unknown   it never was, or it has ended; an entry stays, so that a reserve that is still under way does nothing
--   released  {available}: it is free again
local ENDED_KEPT_MS = 60000

local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not score then redis.call('ZADD', KEYS[2], -(now_ms() + ENDED_KEPT_MS), ARGV[1]) end
if not score or tonumber(score) <= 0 then return {'unknown'} end

local _, owed, available = settle(KEYS[1], ARGV[2], tonumber(ARGV[3]), 0)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('XADD', KEYS[3], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'released', ARGV[1],
  'owed', owed, 'available', available, 'reason', ARGV[4])
return {'released', available}
