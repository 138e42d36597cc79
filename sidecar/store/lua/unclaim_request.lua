-- Frees a client's key whose attempt was refused, so that the next attempt need not wait.
--
-- KEYS[1]  string  the key's record, as in claim_request.lua
-- ARGV[1]  reservation id of the attempt
--
-- Answers, the first that applies:
--   kept   the key is not the attempt's; nothing changed
--   freed  what attempts before it were charged is still known
local record = redis.call('GET', KEYS[1])
local mark, id, _, repeats, charged = string.match(record or '', '^(%S+) (%S+) (%d+) (%d+) (%S+)$')
if id ~= ARGV[1] then return {'kept'} end
if charged == '-' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], string.format('%s %s 0 %s %s', mark, id, repeats - 1, charged), 'KEEPTTL')
end
return {'freed'}
