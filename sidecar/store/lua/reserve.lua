-- Sets an amount of a customer aside for one request. Safe to repeat with the same hold.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  string  the hold
-- KEYS[3]  zset    deadlines of the partition's open holds
-- ARGV[1]  field of the customer that must exist: the credential of the request
-- ARGV[2]  name of the hold in the zset
-- ARGV[3]  unit
-- ARGV[4]  amount, digits
-- ARGV[5]  time to live, ms
-- ARGV[6]  rule
--
-- Answers, the first that applies:
--   ended                {state, charged, owed, late, available}: it has ended before; nothing changed
--   replayed             {held, available}: it is held already; nothing changed
--   unidentified         no such customer, or it does not have the credential
--   customer_suspended
--   holds_in_flight      {available, held}: it would fit if the customer's other holds came back
--   insufficient_credits {available, held}
--   reserved             {held, available}
--
-- A hold of 0 fits unless the customer owes. The hold is never in the way of its own repetition: replay comes first.
local unit, wanted = ARGV[3], tonumber(ARGV[4])

local customer = redis.call('HMGET', KEYS[1], 'status', ARGV[1],
  'available:' .. unit, 'held:' .. unit, 'owed:' .. unit)
local available, held, owed = amount(customer[3]), amount(customer[4]), amount(customer[5])
local fits = customer[1] == 'active' and customer[2] and owed == 0 and wanted <= available

if fits then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local created, deadline = digits(now), digits(now + ARGV[5])
  local record = 'open ' .. unit .. ' ' .. ARGV[4] .. ' ' .. created .. ' ' .. deadline .. ' ' .. ARGV[6]
  if redis.call('SET', KEYS[2], record, 'NX') then
    local left = digits(available - wanted)
    redis.call('HSET', KEYS[1], 'available:' .. unit, left, 'held:' .. unit, digits(held + wanted))
    redis.call('ZADD', KEYS[3], deadline, ARGV[2])
    return {'reserved', ARGV[4], left}
  end
end

local record = redis.call('GET', KEYS[2])
if record then
  local amount_held = string.match(record, '^open %S+ (%d+) ')
  if amount_held then return {'replayed', amount_held, digits(available)} end
  local first = replayed(record, KEYS[1], unit)
  return {'ended', first[2], first[3], first[4], first[5], first[6]}
end
if not customer[1] or not customer[2] then return {'unidentified'} end
if customer[1] ~= 'active' then return {'customer_suspended'} end
if available + held - owed >= wanted then return {'holds_in_flight', digits(available), digits(held)} end
return {'insufficient_credits', digits(available), digits(held)}
