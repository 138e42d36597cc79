-- Charges what was used without a hold of its own. Safe to repeat for 24 hours; it takes effect once.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]     string  the account
-- ARGV[1]  reservation id, of a hold that was never taken
-- ARGV[2]  <payer id> <unit>
-- ARGV[3]  cost
-- ARGV[4]  policy for what is not available: owe or cap
-- ARGV[5]  reservation id of the hold that pays first, if it is open and of the same customer and unit; else ''
-- ARGV[6]  the member who asked, if its parent pays; else ''
-- ARGV[7]  usage: what the meters read
-- ARGV[8]  source: where the cost comes from
-- ARGV[9]  text of the hold that was never taken; its end is remembered
--
-- Answers, the first that applies:
--   member     {parent}: somebody else pays for the customer than was assumed; nothing changed
--   unknown    no such payer; or the reservation was released before, and never was; nothing changed
--   replayed   {charged, available}: this was charged before; nothing changed
--   resolved   {state}: there is or was a hold of this id; nothing changed
--   committed  {charged, debt, uncollected, available}
--
-- It counts in spend caps, and none of them keeps it from being charged. The line in the journal is that of the commit
-- of a hold of exactly what the other hold has paid.
--- include amounts clock keys account journal blocks hold queue pool draw overage counters caps limits settle
-- What is the same of a hold for the same: customer and unit.
local function whose(text)
  return string.match(text, '^%S+ (%S+)') .. string.match(text, '^%S+ %S+ %d+ %d ([^= ]+=)')
end

local text, known, cost, now = ARGV[9], redis.call('HGET', HOLDS, ARGV[1]), tonumber(ARGV[3]), now_ms()
if known then
  local _, state, _, _, ends, known_text = read_hold(known)
  if state == DEAD then return {'unknown'} end
  local same = state == COMMITTED and #ends == 2 and ends[1][3] == cost and whose(known_text) == whose(text)
  if not same then return {'resolved', STATES[state]} end
  return {'replayed', ends[2][3], open_at(KEYS[5], ARGV[2], now)[AVAILABLE]}
end
local payer = redis.call('HMGET', PAYER, 'status', 'parent')
if not payer[1] then return {'unknown'} end
if payer[2] then return {'member', payer[2]} end

local slices, paid, left, claims = {}, {}, cost, {}
local record = ARGV[5] ~= '' and redis.call('HGET', HOLDS, ARGV[5])
local time, state, charged, steps, payers_text
if record then time, state, charged, steps, slices, payers_text = read_hold(record) end
local pays = record and state == OPEN and whose(payers_text) == whose(text)
for _, slice in ipairs(pays and slices or {}) do
  local amount = slice[1] == 1 and math.min(slice[3], left) or 0
  if amount > 0 then paid[#paid + 1] = {1, slice[2], amount} end
  slice[3], left = slice[3] - amount, left - amount
end

local account, count, packed = open_at(KEYS[5], ARGV[2], now), packed_slices(paid)
caps.beyond(account, text, nil, cost - left, 1, now, claims)
text = caps.text(text, claims)
caps.claim(ARGV[2], claims)
local as_held = packed_hold(now + string.match(text, '^%S+ %S+ (%d+)'), OPEN, 0, 0, count, packed, text)
local settled = settle_part(account, 1, paid, cost, ARGV[4], true, text)
account = keep_part('commit', settled, as_held, ARGV[6] ~= '' and ARGV[6] or nil, 'usage', ARGV[7], 'source', ARGV[8])
if pays then
  caps.count(payers_text, 1, left - cost, 0)
  count, packed = packed_slices(slices)
  redis.call('HSET', HOLDS, ARGV[5], packed_hold(time, state, charged, steps, count, packed, payers_text))
end
remember(ARGV[1], COMMITTED, settled.charged, 0, {{1, 0, cost}, {1, 0, settled.charged}}, text)
due_at_latest(ARGV[2], now + END_KEPT_MS)
local reply = {'committed', settled.charged, settled.debt, settled.uncollected, account[AVAILABLE]}
wake(account)
return reply
