-- Makes a customer out of an id that its external id has been given to. Safe to repeat.
--
-- KEYS[1]  hash    the customer
-- ARGV[1]  external id
-- ARGV[2]  display name
-- ARGV[3]  now, ms
--
-- Answers, the first that applies:
--   exists   nothing changed
--   created
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end
redis.call('HSET', KEYS[1], 'status', 'active', 'external_id', ARGV[1], 'display_name', ARGV[2],
  'created_at_ms', ARGV[3], 'external:' .. ARGV[1], '1')
return {'created'}
