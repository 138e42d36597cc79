-- Gives a customer a proxy key.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  hash    the details of the customer's keys, by key id
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  credential: the field that `reserve` looks for
-- ARGV[3]  key id
-- ARGV[4]  the key's details, JSON
-- ARGV[5]  what that field has, as in key.lua
--
-- Answers, the first that applies:
--   unknown  there is no such customer; nothing changed
--   created
--
-- The details stand apart because they would make the customer's hash larger than Redis keeps compact.
if redis.call('HEXISTS', KEYS[1], 'status') == 0 then return {'unknown'} end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[5])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('XADD', KEYS[3], '*', 'key', ARGV[1], 'data', ARGV[4])
return {'created'}
