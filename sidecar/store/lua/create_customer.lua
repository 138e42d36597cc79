-- Makes a customer out of an id that its external id has been given to. Safe to repeat.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  external id
-- ARGV[3]  display name
-- ARGV[4]  now, ms
-- ARGV[5]  the customer who pays for it, or ''
-- ARGV[6]  metadata, JSON
-- ARGV[7]  what it may owe, as in overage.lua, or ''
-- ARGV[8]  all of this as JSON, for the journal
--
-- Answers, the first that applies:
--   exists   nothing changed
--   created
if redis.call('HEXISTS', KEYS[1], 'status') == 1 then return {'exists'} end
redis.call('HSET', KEYS[1], 'status', 'active', 'external_id', ARGV[2], 'display_name', ARGV[3],
  'created_at_ms', ARGV[4], 'external:' .. ARGV[2], '1', 'metadata', ARGV[6])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'parent', ARGV[5]) end
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'overage', ARGV[7]) end
redis.call('XADD', KEYS[2], '*', 'customer', ARGV[1], 'data', ARGV[8])
return {'created'}
