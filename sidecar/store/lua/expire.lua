-- Gives one overdue hold back. Harmless when it has ended meanwhile, or when two sweeps do it at once.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  zset    deadlines of the partition's open holds
-- KEYS[3]  zset    the partition's holds that expired lately, by when to forget them
-- KEYS[4]  stream  the partition's journal
-- ARGV[1]  the hold, as its entry in the zset
-- ARGV[2]  field of its balance: unit:<unit>
-- ARGV[3]  amount that is held
--
-- Answers, the first that applies:
--   ended    it is no longer open; nothing changed
--   open     its deadline has not passed; nothing changed
--   expired  it is free again
--
-- It is remembered for EXPIRED_KEPT_MS: a commit that comes late is still charged, and a reserve adds nothing.
local EXPIRED_KEPT_MS = 900000

local deadline, now = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0), now_ms()
if deadline <= 0 then return {'ended'} end
if deadline > now then return {'open'} end

local _, owed, available = settle(KEYS[1], ARGV[2], tonumber(ARGV[3]), 0)
redis.call('ZADD', KEYS[2], -(now + EXPIRED_KEPT_MS), ARGV[1])
redis.call('ZADD', KEYS[3], now + EXPIRED_KEPT_MS, ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'expired', ARGV[1],
  'owed', owed, 'available', available)
return {'expired'}
