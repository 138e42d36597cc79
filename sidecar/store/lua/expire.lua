-- Gives one overdue hold back. Harmless when it has ended meanwhile, or when two sweeps do it at once.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the hold
-- KEYS[3]  zset    deadlines of the partition's open holds
-- KEYS[4]  stream  the partition's journal
-- ARGV[1]  name of the hold in the zset: <customer id>:<reservation id>
--
-- Answers, the first that applies:
--   ended    it is no longer open; nothing changed but its deadline, which is gone
--   open     its deadline has not passed; nothing changed
--   expired  it is free again
--
-- The record stays for EXPIRED_KEPT_MS, so that a commit which comes late is still charged.
local EXPIRED_KEPT_MS = '900000'

local record = redis.call('GET', KEYS[2])
local unit, held, deadline, rule = string.match(record or '', '^open (%S+) (%d+) (%d+) %d+ (.*)$')
if not unit then
  redis.call('ZREM', KEYS[3], ARGV[1])
  return {'ended'}
end
local time = redis.call('TIME')
if tonumber(deadline) > time[1] * 1000 + math.floor(time[2] / 1000) then return {'open'} end

local charged, owed, repaid, available = settle(KEYS[1], unit, held, '0')
redis.call('SET', KEYS[2], 'expired' .. string.sub(record, 5), 'PX', EXPIRED_KEPT_MS)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'settlement', ARGV[1] .. ' ' .. unit .. ' expired 0 ' ..
  held .. ' ' .. charged .. ' ' .. owed .. ' ' .. repaid .. ' ' .. available, 'rule', rule)
return {'expired'}
