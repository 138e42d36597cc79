-- Sets amounts of a payer aside for one request: all of its parts or none. Safe to repeat until the hold ends.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  the account of each part
-- KEYS[last]  hash    the customer who asks: the payer, or a member of its pool
-- ARGV[1]  reservation id
-- ARGV[2]  time to live, ms
-- ARGV[3]  field of the customer that must exist: the credential of the request
-- ARGV[4]  the parent, if it is the payer; else ''
-- ARGV[5]  text of the hold
-- ARGV[6..]  for each part: <payer id> <unit>, amount; then, if it waits its turn, which only one part may: how long it
--            may still wait, ms (0: it leaves the queue); most requests in the queue; 1: PUBLISH counts its process;
--            or counters, each as in counters.lua; and at last its limits, as in limits.lua, if it has any
--
-- Answers, the first that applies:
--   replayed             {the same as reserved}: it is held already; nothing changed
--   mismatch             the id was used for other terms; nothing changed
--   ended                it has ended, or its release came first; nothing changed
--   member               {parent or ''}: somebody else pays for the customer than was assumed; nothing changed
--   unidentified         no such customer, or it does not have the credential
--   key_expired          the credential is that of a proxy key which is over
--   customer_suspended   it or its payer
--   feature_not_allowed  the key may not use this feature
--   moved                {used, held of each counter}: the amounts are for other positions; nothing changed
--   rate_limited         {which limit, ticks that are taken, ms until it lets this through; the key's rate}
--   concurrency_limited  {which limit, slots that are taken, 0; the key's rate}
--   pool_cap_reached     {left of the cap, held, part, amount}
--   spend_cap_reached    {part, amount, which cap, its scope and what of it, its window, most, used and held in it,
--                        when it is over, ms until this fits (0: nobody knows; -1: never)}
--   waiting              {the same as the next}: it stands in the queue, and will be told when to ask again
--   holds_in_flight      {within reach, held of it, part, amount}: it would fit if the other holds came back
--   insufficient_credits {within reach, held of it, part, amount}
--   reserved             {slices, available of each part, what is taken of each limit; the key's rate}
--
-- The rate of a key is a limit behind the others. It is told as requests, in so many ms, so many at once; zeros for
-- none; and not at all of a key without limits.
-- One that waits its turn takes nothing that those before it in the queue want; who does not wait is not held up.
-- Where its counters stand follows in `replayed` and in all from `rate_limited` on, too.
-- What blocks do not have may be held as overage, as in overage.lua. Else a hold of 0 fits unless the payer owes. A
-- request is never refused for its own hold: replay comes first.
local customer = redis.call('HMGET', KEYS[#KEYS], 'status', ARGV[3], 'parent', 'due')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The common case, before the functions of the general one are even defined: one part, paid by the customer itself,
-- nothing owed, restricted or due, a key without limits, and one of the first blocks covers it. The general case would
-- do the same. (`scopes` has WAITING in its upper byte: while anybody waits, or spend is capped, this is not the common
-- case.)
if #KEYS == 6 and #ARGV == 7 and customer[1] == 'active' and customer[2] and #customer[2] < 31 and not customer[3] and
  ARGV[4] == '' then
  local account, amount = redis.call('GETRANGE', KEYS[5], 0, 383), tonumber(ARGV[7])
  if #account > 88 then
    local available, held = struct.unpack('>dd', account, 25)
    local owed, next_at, _, scopes = struct.unpack('>ddI4I2', account, 65)
    local deadline, at, number, left, kept, _, _, state = now + ARGV[2], 89, struct.unpack('>I4dddI2B', account, 89)
    while (left == 0 or state ~= 1) and at + 74 < #account do
      at = at + 74
      number, left, kept, _, _, state = struct.unpack('>I4dddI2B', account, at)
    end
    if state == 1 and left >= amount and available >= amount and amount > 0 and owed == 0 and scopes == 0 and
      next_at > now and deadline >= tonumber(customer[4] or 0) and redis.call('HSETNX', KEYS[3], ARGV[1],
        struct.pack('>dBdI4I2BI4d', deadline, 1, 0, 0, 1, 1, number, amount) .. ARGV[5]) == 1 then
      redis.call('SETRANGE', KEYS[5], 24, struct.pack('>dd', available - amount, held + amount) ..
        string.sub(account, 41, at + 3) .. struct.pack('>dd', left - amount, kept + amount))
      if not customer[4] then
        redis.call('HSET', KEYS[1], 'due', deadline)
        redis.call('ZADD', KEYS[2], deadline, string.match(ARGV[6], '^%S+'))
      end
      return {'reserved', struct.pack('>BI4d', 1, number, amount), available - amount}
    end
  end
end
--- include amounts clock keys account journal blocks hold queue pool draw overage counters caps limits key
local payer_status, due, member = customer[1], customer[4], nil
if ARGV[4] ~= '' then
  local payer = redis.call('HMGET', PAYER, 'status', 'due')
  payer_status, due, member = payer[1], payer[2], customer_of(ARGV[5])
end
local accounts, slices, claims, parts, more = {}, {}, {}, #KEYS - 5, #ARGV - 2 * #KEYS + 5
-- Behind the parts: 3 of who waits or 5 of each counter, then 1 of the limits.
local limits = (more % 5 == 1 or more % 5 == 4) and table.remove(ARGV) or ''
local key = read_key(customer[2] or '', ARGV[5])
limits = limits .. key.limit
local waits = #KEYS == 6 and #ARGV == 10 and ARGV[8]
local first_counter = waits and #ARGV + 1 or 2 * #KEYS - 4

local function is_its_turn(account, amount)
  local _, before = place_in(queue_of(account, now), ARGV[1], now)
  return amount == 0 or before == 0 or before + amount <= account[AVAILABLE]
end

-- One that has to wait stands where it stood, or at the end; whoever is refused for another reason leaves the queue.
local function stand_in_queue(refused)
  local account = open(KEYS[5], ARGV[6])
  local queue = queue_of(account, now)
  local place = place_in(queue, ARGV[1], now) or #queue + 1
  if refused[1] ~= 'holds_in_flight' or tonumber(waits) == 0 or place > tonumber(ARGV[9]) then
    leave(account, ARGV[1])
    return refused
  end
  queue[place] = {
    ends_at = now + waits + TRIES_LAST_WITHIN_MS, amount = tonumber(ARGV[7]), woken_at = 0, counted = tonumber(ARGV[10]),
    id = ARGV[1],
  }
  keep_queue(account, queue)
  return {'waiting', unpack(refused, 2)}
end

local function refusal()
  if not customer[1] or not customer[2] then return {'unidentified'} end
  if (customer[3] or '') ~= ARGV[4] then return {'member', customer[3] or ''} end
  if key.ends_at <= now then return {'key_expired'} end
  if customer[1] ~= 'active' or payer_status ~= 'active' then return {'customer_suspended'} end
  if not key.may then return {'feature_not_allowed'} end
  if counters_moved(first_counter, true) then return with_counters({'moved'}, first_counter) end
  local limited = beyond_limits(limits, now)
  if limited then return with_counters(with_rate(limited, key), first_counter) end
  for part = 1, parts do
    accounts[part] = open_at(KEYS[4 + part], ARGV[4 + 2 * part], now)
    local amount = tonumber(ARGV[5 + 2 * part])
    local refused = beyond_cap(accounts[part], member, amount, part) or
      caps.beyond(accounts[part], ARGV[5], key.id, amount, part, now, claims)
    if refused then return with_counters(refused, first_counter) end
  end
  for part = 1, parts do
    local account, amount = accounts[part], tonumber(ARGV[5 + 2 * part])
    accounts[part] = hold_part(account, part, amount, ARGV[5], slices, waits and not is_its_turn(account, amount))
    if not accounts[part] then
      return with_counters(shortage(open(account.key, account.name), part, amount, ARGV[5]), first_counter)
    end
  end
end

local function answer(word, packed)
  local reply = {word, packed}
  for part = 1, parts do
    local account = accounts[part] or open_at(KEYS[4 + part], ARGV[4 + 2 * part], now)
    reply[2 + part] = account[AVAILABLE]
  end
  return with_counters(with_rate(with_limits(reply, limits, now), key), first_counter)
end

local refused, deadline, packed = refusal(), now + ARGV[2], nil
if not refused then
  local count
  count, packed = packed_slices(slices)
  local record = packed_hold(deadline, OPEN, 0, 0, count, packed, caps.text(ARGV[5], claims))
  if redis.call('HSETNX', HOLDS, ARGV[1], record) == 0 then
    refused = {'known'}
  end
end
if refused then
  local record = redis.call('HGET', HOLDS, ARGV[1])
  if not record then return waits and stand_in_queue(refused) or refused end
  local _, state, _, _, held, text = read_hold(record)
  if state ~= OPEN then return {'ended'} end
  if reserved_text(text) ~= ARGV[5] then return {'mismatch'} end
  local _, still = packed_slices(held)
  accounts = {}
  return answer('replayed', still)
end

for part, account in ipairs(accounts) do
  save(account)
  if member then count_in_pool(account, member, tonumber(ARGV[5 + 2 * part]), 0) end
end
for at = first_counter, #ARGV, COUNTER_ARGUMENTS do
  count(ARGV[6], ARGV[at], 0, tonumber(ARGV[at + 1]), ARGV[at + 4])
end
take_limits(limits, now)
caps.claim(ARGV[6], claims)
due_at_latest(ARGV[6], deadline, due)
if waits then leave(accounts[1], ARGV[1]) end
return answer('reserved', packed)
