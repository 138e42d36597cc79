-- Gives an amount to a customer, once for each idempotency key. Repays debt first.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the idempotency record: <fingerprint> <grant id> <balance>
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  unit
-- ARGV[3]  amount
-- ARGV[4]  grant id
-- ARGV[5]  source
-- ARGV[6]  reason
-- ARGV[7]  fingerprint of the request
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {grant id, balance}: packed; as it was answered then; nothing changed
--   unknown   there is no such customer
--   overflow  {granted}: granted would pass 2^53 - 1; nothing changed
--   granted   {grant id, balance}: packed
local ONCE_KEPT_MS = '86400000'

local first = redis.call('GET', KEYS[2])
if first then
  local mark, id, balance = string.match(first, '^(%S+) (%S+) (.*)$')
  if mark ~= ARGV[7] then return {'mismatch'} end
  return {'replayed', id, balance}
end
local field, amount = 'unit:' .. ARGV[2], tonumber(ARGV[3])
local customer = redis.call('HMGET', KEYS[1], 'status', field)
if not customer[1] then return {'unknown'} end
local granted, available, held, spent, owed = struct.unpack(BALANCE, customer[2] or NOTHING)
if granted + amount > MAX_AMOUNT then return {'overflow', granted} end

local repaid = math.min(amount, owed)
local left = available + amount - repaid
local balance = struct.pack(BALANCE, granted + amount, left, held, spent + repaid, owed - repaid)
redis.call('HSET', KEYS[1], field, balance)
redis.call('SET', KEYS[2], ARGV[7] .. ' ' .. ARGV[4] .. ' ' .. balance, 'PX', ONCE_KEPT_MS)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'granted', ARGV[1], 'unit', ARGV[2], 'grant', ARGV[4],
  'amount', amount, 'owed', 0 - repaid, 'available', left, 'source', ARGV[5], 'reason', ARGV[6])
return {'granted', ARGV[4], balance}
