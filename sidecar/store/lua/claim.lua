-- Says whose a business key is, before a grant uses it: customers lie in different partitions.
--
-- KEYS[1]  string  the key's owner: <customer id> <when it was claimed, ms>
-- ARGV[1]  customer id
-- ARGV[2]  the owner that has not used it, whose place is taken; or ''
--
-- Answers, the first that applies:
--   claimed  it is the customer's now, or was
--   taken    {owner, age of its claim in ms}: it is another's; nothing changed
--- include clock
local now, record = now_ms(), redis.call('GET', KEYS[1])
if record then
  local owner, since = string.match(record, '^(%S+) (%d+)$')
  if owner == ARGV[1] then return {'claimed'} end
  if owner ~= ARGV[2] then return {'taken', owner, now - since} end
end
redis.call('SET', KEYS[1], string.format('%s %.0f', ARGV[1], now))
return {'claimed'}
