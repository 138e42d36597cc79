-- Makes a customer again from what the archive knows of it, if it is not there. From then on it can ask for credit.
--
-- KEYS[1]  hash  the customer
-- KEYS[2]  hash  the details of its keys, by key id
-- KEYS[3]  hash  who pays for it: its parent, or the customer itself
-- ARGV[1]  how many caps follow
-- ARGV[2]  how many fields of the customer follow them
-- ARGV[3..]  the caps: field of the payer, cap; -1: none. Then the customer's fields with their values, and its keys
--            with their details
--
-- Answers, the first that applies:
--   exists    nothing changed
--   restored
local POOL = '>ddd'
if redis.call('HEXISTS', KEYS[1], 'status') == 1 then return 'exists' end
local caps_end = 2 + 2 * ARGV[1]
local fields_end = caps_end + 2 * ARGV[2]
for index = 3, #ARGV, 2 do
  local name, value = ARGV[index], ARGV[index + 1]
  if index < caps_end then
    local share = redis.call('HGET', KEYS[3], name) or struct.pack(POOL, -1, 0, 0)
    local _, held, spent = struct.unpack(POOL, share)
    redis.call('HSET', KEYS[3], name, struct.pack(POOL, value, held, spent))
  else
    redis.call('HSET', index < fields_end and KEYS[1] or KEYS[2], name, value)
  end
end
return 'restored'
