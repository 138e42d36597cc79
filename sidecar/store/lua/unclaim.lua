-- Frees a business key that its owner did not use after all.
--
-- KEYS[1]  string  the key's owner: <customer id> <when it was claimed, ms>
-- ARGV[1]  customer id
--
-- Answers, the first that applies:
--   kept   it is not the customer's; nothing changed
--   freed
local record = redis.call('GET', KEYS[1])
if not record or string.match(record, '^(%S+)') ~= ARGV[1] then return {'kept'} end
redis.call('DEL', KEYS[1])
return {'freed'}
