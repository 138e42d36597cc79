-- Sets an amount of a customer aside for one request. Safe to repeat with the same hold.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the hold
-- KEYS[3]  zset    deadlines of the partition's open holds
-- ARGV[1]  field of the customer that must exist: the credential of the request
-- ARGV[2]  name of the hold in the zset: <customer id>:<reservation id>
-- ARGV[3]  unit
-- ARGV[4]  amount, digits
-- ARGV[5]  time to live, ms
-- ARGV[6]  rule
--
-- Answers, the first that applies:
--   ended                {state, charged, owed, late, available}: it has ended before; nothing changed
--   replayed             {available, held}: it is held already; nothing changed
--   unidentified         no such customer, or it does not have the credential
--   customer_suspended
--   holds_in_flight      {available, held}: it would fit if the customer's other holds came back
--   insufficient_credits {available, held}
--   reserved             {available}
--
-- A hold of 0 fits unless the customer owes. A request is never refused for its own hold: replay comes first.
local unit, wanted = ARGV[3], ARGV[4]

local customer = redis.call('HMGET', KEYS[1], 'status', ARGV[1], 'unit:' .. unit)
local granted, available, held, spent, owed = amounts(customer[3])
local left = available - wanted

if left >= 0 and owed == '0' and customer[1] == 'active' and customer[2] then
  local time = redis.call('TIME')
  local deadline = digits(time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[5])
  local record = 'open ' .. unit .. ' ' .. wanted .. ' ' .. deadline .. ' ' .. ARGV[5] .. ' ' .. ARGV[6]
  if redis.call('SET', KEYS[2], record, 'NX') then
    left = digits(left)
    redis.call('HSET', KEYS[1], 'unit:' .. unit, granted .. ' ' .. left .. ' ' .. digits(held + wanted) .. ' ' ..
      spent .. ' ' .. owed)
    redis.call('ZADD', KEYS[3], deadline, ARGV[2])
    return {'reserved', left}
  end
end

local record = redis.call('GET', KEYS[2])
if record then
  local own = string.match(record, '^open %S+ (%d+) ')
  if own then return {'replayed', available, own} end
  return ended('ended', record, customer[3])
end
if not customer[1] or not customer[2] then return {'unidentified'} end
if customer[1] ~= 'active' then return {'customer_suspended'} end
if left + held - owed >= 0 then return {'holds_in_flight', available, held} end
return {'insufficient_credits', available, held}
