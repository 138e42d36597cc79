-- Holds at least so much from now on, and longer. Never gives anything back. Safe to repeat.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  the account of each part
-- ARGV[1]  reservation id
-- ARGV[2]  least time to live from now, ms; 0: its deadline stays
-- ARGV[3]  the member who asked, if its parent pays; else ''
-- ARGV[4..]  for each part: <payer id> <unit>, how much shall be held
--
-- Answers, the first that applies:
--   unknown              it never was, or it has ended and is not remembered
--   resolved             {state}: it has ended
--   pool_cap_reached     {left of the cap, held, part, what it misses}
--   spend_cap_reached    as in reserve.lua, of what it misses, by a cap that it counts in
--   holds_in_flight      {within reach, held of it, part, what it misses}
--   insufficient_credits {within reach, held of it, part, what it misses}
--   resized              {slices, available of each part}
--- include amounts clock keys account journal blocks hold pool draw overage counters caps
local record = redis.call('HGET', HOLDS, ARGV[1])
if not record then return {'unknown'} end
local time, state, charged, steps, slices, text = read_hold(record)
if state == DEAD then return {'unknown'} end
if state ~= OPEN then return {'resolved', STATES[state]} end

local member, now, accounts, added = ARGV[3] ~= '' and ARGV[3] or nil, now_ms(), {}, {}
for part = 1, #KEYS - 4 do
  local name, missing = ARGV[2 + 2 * part], tonumber(ARGV[3 + 2 * part])
  for _, slice in ipairs(slices) do
    if slice[1] == part then missing = missing - slice[3] end
  end
  missing = math.max(missing, 0)
  accounts[part], added[part] = open_at(KEYS[4 + part], name, now), missing
  local refused = missing > 0 and (beyond_cap(accounts[part], member, missing, part) or
    caps.beyond_claimed(accounts[part], text, missing, part, now))
  if refused then return refused end
end
for part, account in ipairs(accounts) do
  local missing = added[part]
  if missing > 0 then
    accounts[part] = hold_part(account, part, missing, text, slices)
    if not accounts[part] then return shortage(open(account.key, account.name), part, missing, text) end
  end
end

local deadline, reply = tonumber(ARGV[2]) > 0 and math.max(now + ARGV[2], time) or time, {'resized'}
if deadline > time then text = lengthened(text, deadline - time) end
local count, packed = packed_slices(slices)
redis.call('HSET', HOLDS, ARGV[1], packed_hold(deadline, OPEN, charged, steps, count, packed, text))
reply[2] = packed
for part, account in ipairs(accounts) do
  if added[part] > 0 then
    save(account)
    if member then count_in_pool(account, member, added[part], 0) end
    caps.count(text, part, added[part], 0)
  end
  reply[2 + part] = account[AVAILABLE]
end
due_at_latest(accounts[1].name, deadline)
return reply
