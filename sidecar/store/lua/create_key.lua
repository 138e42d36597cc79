-- Gives a customer a proxy key.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  hash    the details of the customer's keys, by key id
-- ARGV[1]  credential: the field that `reserve` looks for
-- ARGV[2]  key id
-- ARGV[3]  the key's details
--
-- Answers, the first that applies:
--   unknown  there is no such customer; nothing changed
--   created
--
-- The details stand apart because they would make the customer's hash larger than Redis keeps compact.
if redis.call('EXISTS', KEYS[1]) == 0 then return {'unknown'} end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return {'created'}
