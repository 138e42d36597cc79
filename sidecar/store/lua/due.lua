-- Names the payers of one partition of whom something is due: a hold's end, a block's start or end.
--
-- KEYS[1]  zset  payers by when something of them is due
-- ARGV[1]  most payers to answer
--
-- Answers the payers' customer ids, the longest overdue first.
--- include clock
return redis.call('ZRANGEBYSCORE', KEYS[1], 0, now_ms(), 'LIMIT', 0, ARGV[1])
