-- Makes a proxy key useless, at once and for everyone.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  hash    the details of the customer's keys, by key id
-- KEYS[3]  stream  the partition's journal
-- ARGV[1]  customer id
-- ARGV[2]  key id
--
-- Answers, the first that applies:
--   unknown  the customer has no such key; nothing changed
--   revoked  {details}: as they were
local details = redis.call('HGET', KEYS[2], ARGV[2])
if not details then return {'unknown'} end
local key = cjson.decode(details)
redis.call('HDEL', KEYS[1], key.credential)
if key.retiring then redis.call('HDEL', KEYS[1], key.retiring.credential) end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('XADD', KEYS[3], '*', 'key_revoked', ARGV[1], 'data', cjson.encode({key_id = ARGV[2]}))
return {'revoked', details}
