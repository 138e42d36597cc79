-- Charges the real cost of a request and ends its hold. Safe to repeat; it takes effect once.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  zset    deadlines of the partition's open holds
-- KEYS[3]  zset    the partition's holds that expired lately
-- KEYS[4]  stream  the partition's journal
-- ARGV[1]  the hold, as its entry in the zset
-- ARGV[2]  field of its balance: unit:<unit>
-- ARGV[3]  amount that is held
-- ARGV[4]  charge
-- ARGV[5]  usage: what the meters read
-- ARGV[6]  source: where the charge comes from
--
-- Answers, the first that applies:
--   committed  {charged, change of the debt, available}: charged now
--   late       {charged, change of the debt, available}: charged now; it had expired, so its hold had gone back
--   unknown    it never was, or it has ended; nothing changed
--
-- An open hold whose deadline has passed is still held, so its commit is in time.
local outcome, zset, held = 'committed', KEYS[2], tonumber(ARGV[3])
if tonumber(redis.call('ZSCORE', zset, ARGV[1]) or 0) <= 0 then
  outcome, zset, held = 'late', KEYS[3], 0
  if not redis.call('ZSCORE', zset, ARGV[1]) then return {'unknown'} end
end

local charged, owed, available = settle(KEYS[1], ARGV[2], held, tonumber(ARGV[4]))
redis.call('ZREM', zset, ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', JOURNAL_KEPT, '*', outcome, ARGV[1],
  'charged', charged, 'owed', owed, 'available', available, 'usage', ARGV[5], 'source', ARGV[6])
return {outcome, charged, owed, available}
