-- A hold is a record under its reservation id:
--   time     its deadline while it is open, later when to forget it, ms
--   state    WAITERS: it is no hold, see queue.lua
--   charged  by its step commits so far
--   steps    how many of them
--   slices   each: part, block, amount (0: of none, see overage.lua); of a remembered commit, the cost of each part,
--            then the charge of each (block 0)
--   text     <reservation id> <customer id> <ttl ms> <remember> <unit>=<amount>[,…]
--            <feature> <rule> <version of the rules> [<counter>=<units>[,…]
--            [<what its limits get back, as in limits.lua> [<what its caller said of it>]]]; - for what there is not;
--            and at the end +<ms>, if its life was lengthened by so much: it began at its deadline less all of its life
--            before that *<part>:<counter>[,…], the spend caps that it counts in, as in caps.lua
-- It is longer than 64 bytes, so that Redis never searches one by one through a customer's holds.
local HOLD, HOLD_SLICE = '>dBdI4I2', '>BI4d'
local OPEN, OVERDUE, DEAD, COMMITTED, RELEASED, COMMITTED_LATE, WAITERS = 1, 2, 3, 4, 5, 6, 7
local STATES = {'open', 'expired', 'dead', 'committed', 'released', 'committed_late'}
local LATE_KEPT_MS, DEAD_KEPT_MS, END_KEPT_MS = 900000, 60000, 86400000

local function packed_hold(time, state, charged, steps, count, slices, text)
  return struct.pack(HOLD, time, state, charged, steps, count) .. slices .. text
end

-- Answers time, state, charged, steps, slices as {part, block, amount}, text.
local function read_hold(record)
  local time, state, charged, steps, count, at = struct.unpack(HOLD, record)
  local slices = {}
  for index = 1, count do
    local part, block, amount
    part, block, amount, at = struct.unpack(HOLD_SLICE, record, at)
    slices[index] = {part, block, amount}
  end
  return time, state, charged, steps, slices, string.sub(record, at)
end

-- The slices again as text, without those that are empty.
local function packed_slices(slices)
  local texts = {}
  for _, slice in ipairs(slices) do
    if slice[3] > 0 then texts[#texts + 1] = struct.pack(HOLD_SLICE, slice[1], slice[2], slice[3]) end
  end
  return #texts, table.concat(texts)
end

local function first_text(text)
  return (string.gsub(text, ' %+%d+$', ''))
end

-- The text as it was asked for.
local function reserved_text(text)
  return (string.gsub(first_text(text), ' %*%d:%S+$', ''))
end

local function lengthened(text, ms)
  local before = string.match(text, ' %+(%d+)$') or 0
  return first_text(text) .. string.format(' +%d', before + ms)
end

local function remembered(text)
  return string.match(text, '^%S+ %S+ %d+ [13]') ~= nil
end

-- Keeps the end of a hold for a while, with the costs and charges of its parts.
local function remember(id, state, charged, steps, ends, text)
  local forget_at = now_ms() + END_KEPT_MS
  local texts = {}
  for index, ended in ipairs(ends) do texts[index] = struct.pack(HOLD_SLICE, ended[1], 0, ended[3]) end
  redis.call('HSET', HOLDS, id, packed_hold(forget_at, state, charged, steps, #ends, table.concat(texts), text))
end

-- Who asked for the hold.
local function customer_of(text)
  return string.match(text, '^%S+ (%S+)')
end
