-- Writes a proxy key anew, if nobody has changed it since it was read: what it may do, and what identifies it.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  hash    the details of the customer's keys, by key id
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  key id
-- ARGV[3]  its details as they were read, JSON
-- ARGV[4]  its new details, JSON
-- ARGV[5..]  each credential of it from now on, and its field as in key.lua
--
-- Answers, the first that applies:
--   unknown  the customer has no such key; nothing changed
--   changed  it is not what was read; nothing changed
--   written
local details = redis.call('HGET', KEYS[2], ARGV[2])
if not details then return {'unknown'} end
if details ~= ARGV[3] then return {'changed'} end
local before = cjson.decode(details)
redis.call('HDEL', KEYS[1], before.credential)
if before.retiring then redis.call('HDEL', KEYS[1], before.retiring.credential) end
for index = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1]) end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
redis.call('XADD', KEYS[3], '*', 'key', ARGV[1], 'data', ARGV[4])
return {'written'}
