-- Charges the real cost of a request and ends its hold, or charges a step of it. Safe to repeat; it takes effect once.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  the account of each part
-- ARGV[1]  reservation id
-- ARGV[2]  number of the step, from 1; 0: the final commit
-- ARGV[3]  policy for a cost above the hold: owe, cap or reject
-- ARGV[4]  the member who asked, if its parent pays; else ''
-- ARGV[5]  usage: what the meters read
-- ARGV[6]  source: where the cost comes from
-- ARGV[7..]  for each part: <payer id> <unit>, cost
--
-- Answers, the first that applies:
--   unknown    it never was, or it has ended and is not remembered; nothing changed
--   replayed   {charged, available of each part}: this was charged before; nothing changed
--   resolved   {state}: it has ended otherwise; nothing changed
--   rejected   {held, part}: the cost is above the hold; nothing changed
--   late       {charged, debt, uncollected, available of each part}: it had expired, so its hold had gone back
--   committed  the same: charged now
--
-- An open hold whose deadline has passed is still held until a sweep finds it, so its commit is in time.
local record = redis.call('HGET', HOLDS, ARGV[1])
if not record then return {'unknown'} end
local time, state, charged, steps, slices, text = read_hold(record)
if state == DEAD then return {'unknown'} end
local parts, step, policy, member = #KEYS - 4, tonumber(ARGV[2]), ARGV[3], ARGV[4] ~= '' and ARGV[4] or nil

local function replay()
  local reply = {'replayed'}
  for part = 1, parts do
    local before = step > 0 and (part == 1 and charged or 0) or slices[part][3]
    reply[2 * part], reply[2 * part + 1] = before, open(KEYS[4 + part], '')[AVAILABLE]
  end
  return reply
end

local function same_charges()
  for part = 1, parts do
    if not slices[part] or slices[part][3] ~= tonumber(ARGV[6 + 2 * part]) then return false end
  end
  return true
end

if state == RELEASED or (state == COMMITTED or state == COMMITTED_LATE) and (step > 0 or not same_charges()) then
  return {'resolved', STATES[state]}
end
if state == COMMITTED or state == COMMITTED_LATE or step > 0 and step <= steps then return replay() end
if policy == 'reject' then
  for part = 1, parts do
    local held = 0
    for _, slice in ipairs(slices) do
      if slice[1] == part then held = held + slice[3] end
    end
    if tonumber(ARGV[6 + 2 * part]) > held then return {'rejected', held, part} end
  end
end

local late = state == OVERDUE
local kind = late and 'late_commit' or step > 0 and 'step_commit' or 'commit'
local reply, ends = {late and 'late' or 'committed'}, {}
for part = 1, parts do
  local name, cost = ARGV[5 + 2 * part], tonumber(ARGV[6 + 2 * part])
  local account = open(KEYS[4 + part], name)
  if account[NEXT_AT] < NEVER then account = open_at(account.key, name, now_ms()) end
  local taken, debt, uncollected, moves = settle_part(account, part, slices, cost, policy, step == 0, text, member)
  write(kind, account, moves, 'hold', record, 'usage', ARGV[5], 'source', ARGV[6],
    'numbers', struct.pack('>dddd', part, taken, debt, uncollected))
  save(account)
  account = tidy(account)
  local at = 4 * part - 2
  reply[at], reply[at + 1], reply[at + 2], reply[at + 3] = taken, debt, uncollected, account[AVAILABLE]
  ends[part] = {part, 0, cost}
  if part == 1 then charged = charged + taken end
end

if step > 0 then
  local count, packed = packed_slices(slices)
  redis.call('HSET', HOLDS, ARGV[1], packed_hold(time, state, charged, step, count, packed, text))
elseif remembered(text) then
  remember(ARGV[1], late and COMMITTED_LATE or COMMITTED, charged, steps, ends, text)
else
  redis.call('HDEL', HOLDS, ARGV[1])
end
return reply
