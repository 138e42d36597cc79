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
-- ARGV[7..]  for each part: <payer id> <unit>, cost; then of a final commit the counters of the hold, each as in
--            counters.lua: its units are counted, and nothing of it is held any more;
--            and at last what its limits really cost, as in limits.lua, if it has such
--
-- Answers, the first that applies:
--   unknown    it never was, or it has ended and is not remembered; nothing changed
--   replayed   {charged, available of each part; used, held of each counter}: this was charged before; nothing changed
--   resolved   {state}: it has ended otherwise; nothing changed
--   moved      {used, held of each counter}: the costs are for other positions; nothing changed
--   rejected   {held, part}: the cost is above the hold; nothing changed
--   late       {charged, debt, uncollected, available of each part; used, held of each counter}: it had expired, so
--              its hold had gone back
--   committed  the same: charged now
--
-- An open hold whose deadline has passed is still held until a sweep finds it, so its commit is in time.
local record = redis.call('HGET', KEYS[3], ARGV[1])
if not record then return {'unknown'} end
local time, state, charged, steps, count = struct.unpack('>dBdI4I2', record)

-- The common case, before the functions of the general one are even defined: the final commit of one slice of one of
-- the first blocks, which covers the cost and stays; nothing is owed, due, capped or to be remembered, nobody waits. The
-- general case would do the same.
if #KEYS == 5 and #ARGV == 8 and count == 1 and state == 1 and steps == 0 and ARGV[2] == '0' and ARGV[4] == '' then
  local part, number, held_of_it = struct.unpack('>BI4d', record, 24)
  if number > 0 then
    local account, cost = redis.call('GETRANGE', KEYS[5], 0, 383), tonumber(ARGV[8])
    local seq, granted, scheduled, available, held, spent, expired, voided, owed, next_at, _, waiting =
      struct.unpack('>ddddddddddI4B', account)
    local at, block, left, kept, _, _, block_state = 89, struct.unpack('>I4dddI2B', account, 89)
    while block ~= number and at + 74 < #account do
      at = at + 74
      block, left, kept, _, _, block_state = struct.unpack('>I4dddI2B', account, at)
    end
    local back, due = held_of_it - cost, false
    if next_at < 9007199254740991 then
      local now = redis.call('TIME')
      due = next_at <= now[1] * 1000 + math.floor(now[2] / 1000)
    end
    if block == number and block_state == 1 and back >= 0 and owed == 0 and waiting == 0 and not due and
      kept >= held_of_it and held >= held_of_it and left + back + kept - held_of_it > 0 and
      string.match(record, '^%S+ %S+ %d+ (%d)', 37) == '0' then
      available = available + back
      local totals = struct.pack('>ddddddddd',
        seq + 1, granted, scheduled, available, held - held_of_it, spent + cost, expired, voided, owed)
      redis.call('SETRANGE', KEYS[5], 0, totals .. string.sub(account, 73, at + 3) ..
        struct.pack('>dd', left + back, kept - held_of_it))
      redis.call('HDEL', KEYS[3], ARGV[1])
      redis.call('XADD', KEYS[4], '*', 'commit', ARGV[7], 'after', totals,
        'moves', cost > 0 and struct.pack('>BI4d', 2, number, cost) or '', 'hold', record, 'usage', ARGV[5],
        'source', ARGV[6], 'numbers', struct.pack('>dddd', 1, cost, 0, 0))
      return {'committed', cost, 0, 0, available}
    end
  end
end
--- include amounts clock keys account journal blocks hold queue pool draw overage counters caps limits settle
local _, _, _, _, slices, text = read_hold(record)
if state == DEAD then return {'unknown'} end
local used = (#ARGV - 2 * #KEYS + 2) % 5 == 1 and table.remove(ARGV) or ''
local parts, first_counter, step, policy, member = #KEYS - 4, 2 * #KEYS - 1, tonumber(ARGV[2]), ARGV[3],
  ARGV[4] ~= '' and ARGV[4] or nil

local function replay()
  local reply = {'replayed'}
  for part = 1, parts do
    local before = step > 0 and (part == 1 and charged or 0) or slices[parts + part][3]
    reply[2 * part], reply[2 * part + 1] = before, open_at(KEYS[4 + part], ARGV[5 + 2 * part], now_ms())[AVAILABLE]
  end
  return with_counters(reply, first_counter)
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
if counters_moved(first_counter) then return with_counters({'moved'}, first_counter) end
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
local reply, ends, settled, counted = {late and 'late' or 'committed'}, {}, {}, {}
if step == 0 then
  if not late then give_back_claims(text) end
  end_limits(text, used, late)
  for at = first_counter, #ARGV, COUNTER_ARGUMENTS do
    local position = count(ARGV[7], ARGV[at], tonumber(ARGV[at + 1]), 0, ARGV[at + 4])
    counted[#counted + 1] = string.format('%s+%s=%.0f', ARGV[at], ARGV[at + 1], position)
  end
end
local told = {}
if #counted > 0 then told[1], told[2] = 'counters', table.concat(counted, ',') end
for part = 1, parts do
  local name, cost = ARGV[5 + 2 * part], tonumber(ARGV[6 + 2 * part])
  local account = open(KEYS[4 + part], name)
  if account[NEXT_AT] < NEVER then account = open_at(account.key, name, now_ms()) end
  settled[part] = settle_part(account, part, slices, cost, policy, step == 0, text)
  ends[part], ends[parts + part] = {part, 0, cost}, {part, 0, settled[part].charged}
end
for part, each in ipairs(settled) do
  local account = keep_part(kind, each, record, member, 'usage', ARGV[5], 'source', ARGV[6], unpack(told))
  told = {}
  local at = 4 * part - 2
  reply[at], reply[at + 1], reply[at + 2], reply[at + 3] = each.charged, each.debt, each.uncollected, account[AVAILABLE]
  wake(account)
end
charged = charged + settled[1].charged

if step > 0 then
  local count, packed = packed_slices(slices)
  redis.call('HSET', HOLDS, ARGV[1], packed_hold(time, state, charged, step, count, packed, text))
elseif remembered(text) then
  remember(ARGV[1], late and COMMITTED_LATE or COMMITTED, charged, steps, ends, text)
else
  redis.call('HDEL', HOLDS, ARGV[1])
end
return with_counters(reply, first_counter)
