-- Gives an amount to a customer, once for each idempotency key. Repays debt first.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the idempotency record: <fingerprint> <grant id> <granted> <available> <held> <spent> <owed>
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  unit
-- ARGV[3]  amount, digits
-- ARGV[4]  grant id
-- ARGV[5]  source
-- ARGV[6]  reason
-- ARGV[7]  fingerprint of the request
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {grant id, granted, available, held, spent, owed}: as it was answered then; nothing changed
--   unknown   there is no such customer
--   overflow  {granted}: granted would pass 2^53 - 1; nothing changed
--   granted   {grant id, granted, available, held, spent, owed}
local ONCE_KEPT_MS = '86400000'

local first = redis.call('GET', KEYS[2])
if first then
  local mark, id, granted, available, held, spent, owed =
    string.match(first, '^(%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if mark ~= ARGV[7] then return {'mismatch'} end
  return {'replayed', id, granted, available, held, spent, owed}
end
local unit, given = ARGV[2], tonumber(ARGV[3])
local names = {'granted:' .. unit, 'available:' .. unit, 'held:' .. unit, 'spent:' .. unit, 'owed:' .. unit}
local customer = redis.call('HMGET', KEYS[1], 'status', names[1], names[2], names[3], names[4], names[5])
if not customer[1] then return {'unknown'} end
local granted, available, held = amount(customer[2]), amount(customer[3]), amount(customer[4])
local spent, owed = amount(customer[5]), amount(customer[6])
if granted > MAX_AMOUNT - given then return {'overflow', digits(granted)} end

local repaid = math.min(given, owed)
local after = {
  digits(granted + given), digits(available + given - repaid), digits(held), digits(spent + repaid),
  digits(owed - repaid),
}
redis.call('HSET', KEYS[1], names[1], after[1], names[2], after[2], names[3], after[3], names[4], after[4],
  names[5], after[5])
redis.call('SET', KEYS[2], ARGV[7] .. ' ' .. ARGV[4] .. ' ' .. table.concat(after, ' '), 'PX', ONCE_KEPT_MS)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', JOURNAL_KEPT, '*', 'type', 'grant', 'customer', ARGV[1], 'unit', unit,
  'grant', ARGV[4], 'amount', ARGV[3], 'repaid', digits(repaid), 'available', after[2],
  'source', ARGV[5], 'reason', ARGV[6])
return {'granted', ARGV[4], after[1], after[2], after[3], after[4], after[5]}
