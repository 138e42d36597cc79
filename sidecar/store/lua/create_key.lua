-- Gives a customer a proxy key.
--
-- KEYS[1]  hash    the customer
-- ARGV[1]  credential: the field that `reserve` looks for
-- ARGV[2]  key id
-- ARGV[3]  the field for the key's details
-- ARGV[4]  the key's details
--
-- Answers, the first that applies:
--   unknown  there is no such customer; nothing changed
--   created
if redis.call('EXISTS', KEYS[1]) == 0 then return {'unknown'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return {'created'}
