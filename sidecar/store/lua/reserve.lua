-- Sets an amount of a customer aside for one request. Safe to repeat until the hold is committed or released.
--
-- KEYS[1]  hash    the customer
-- KEYS[2]  zset    deadlines of the partition's open holds
-- ARGV[1]  the hold, as its entry in the zset
-- ARGV[2]  field of its balance: unit:<unit>
-- ARGV[3]  amount
-- ARGV[4]  time to live, ms
-- ARGV[5]  field of the customer that must exist: the credential of the request
--
-- Answers, the first that applies:
--   replayed             {available}: it is held already; nothing changed
--   ended                it has expired, or its release came first; nothing changed
--   unidentified         no such customer, or it does not have the credential
--   customer_suspended
--   holds_in_flight      {available, held}: it would fit if the customer's other holds came back
--   insufficient_credits {available, held}
--   reserved             {available}
--
-- A hold of 0 fits unless the customer owes. A request is never refused for its own hold: replay comes first.
local customer = redis.call('HMGET', KEYS[1], 'status', ARGV[5], ARGV[2])
local granted, available, held, spent, owed = struct.unpack(BALANCE, customer[3] or NOTHING)
local wanted = tonumber(ARGV[3])
local left = available - wanted

if left >= 0 and owed == 0 and customer[1] == 'active' and customer[2] then
  if redis.call('ZADD', KEYS[2], 'NX', now_ms() + ARGV[4], ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], ARGV[2], struct.pack(BALANCE, granted, left, held + wanted, spent, owed))
    return {'reserved', left}
  end
end

local score = redis.call('ZSCORE', KEYS[2], ARGV[1])
if score and tonumber(score) > 0 then return {'replayed', available} end
if score then return {'ended'} end
if not customer[1] or not customer[2] then return {'unidentified'} end
if customer[1] ~= 'active' then return {'customer_suspended'} end
if left + held - owed >= 0 then return {'holds_in_flight', available, held} end
return {'insufficient_credits', available, held}
