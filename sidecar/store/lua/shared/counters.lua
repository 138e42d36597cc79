-- How much of something a payer has used in a period. Of the payer: a field counter:<name>@<period> with what
-- settlements have counted and what open holds may still count, and `counters`, which lists them:
--   <name>@<period>=<when it may be forgotten, ms>, with spaces between
-- An operation has five arguments for each counter: <name>@<period>, units, the lowest and the highest position at
-- which its amount is right, when to forget it. Positions are compared and added to; what they cost, only Python knows.
local COUNTER, COUNTER_ARGUMENTS = '>dd', 5

local function counter_at(name)
  local packed = redis.call('HGET', PAYER, 'counter:' .. name)
  if packed then return struct.unpack(COUNTER, packed) end
  return 0, 0
end

local function add_to_counter(name, used, held)
  local used_before, held_before = counter_at(name)
  redis.call('HSET', PAYER, 'counter:' .. name,
    struct.pack(COUNTER, used_before + used, math.max(held_before + held, 0)))
  return used_before + used
end

local function has_counter(name)
  return redis.call('HEXISTS', PAYER, 'counter:' .. name) == 1
end

-- Adds to a counter, which may be new; answers its position.
local function count(payer, name, used, held, forget_at)
  if not has_counter(name) then
    local known = redis.call('HGET', PAYER, 'counters')
    redis.call('HSET', PAYER, 'counters', (known and known .. ' ' or '') .. name .. '=' .. forget_at)
    due_at_latest(payer, tonumber(forget_at))
  end
  return add_to_counter(name, used, held)
end

-- Where the counters of the arguments from `first` on stand, behind what `reply` has.
local function with_counters(reply, first)
  for at = first, #ARGV, COUNTER_ARGUMENTS do
    reply[#reply + 1], reply[#reply + 2] = counter_at(ARGV[at])
  end
  return reply
end

-- Whether a counter is not where the amount is right: its position below the lowest, or above the highest together
-- with what is held, if that counts.
local function counters_moved(first, with_held)
  for at = first, #ARGV, COUNTER_ARGUMENTS do
    local used, held = counter_at(ARGV[at])
    if used < tonumber(ARGV[at + 2]) or used + (with_held and held or 0) > tonumber(ARGV[at + 3]) then return true end
  end
  return false
end

-- The counters that the text of a hold names, each with the units that it may count.
local function claimed(text)
  return string.gmatch(string.match(text, '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%S+)') or '', '([^,=]+)=(%d+)')
end

-- What an open hold may count is not held any more.
local function give_back_claims(text)
  for name, units in claimed(text) do
    if has_counter(name) then add_to_counter(name, 0, -tonumber(units)) end
  end
end

-- Forgets the counters of periods that are over for long; one that open holds may count in, not before they end.
-- Answers when the next one is due; `again` for those that could not be forgotten yet.
local function forget_counters(now, again)
  local listed, kept, next_at = redis.call('HGET', PAYER, 'counters'), {}, NEVER
  if not listed then return NEVER end
  for name, forget_at in string.gmatch(listed, '(%S+)=(%d+)') do
    local _, held = counter_at(name)
    if tonumber(forget_at) <= now and held == 0 then
      redis.call('HDEL', PAYER, 'counter:' .. name)
    else
      kept[#kept + 1] = name .. '=' .. forget_at
      next_at = math.min(next_at, tonumber(forget_at) > now and tonumber(forget_at) or again)
    end
  end
  if #kept > 0 then
    redis.call('HSET', PAYER, 'counters', table.concat(kept, ' '))
  else
    redis.call('HDEL', PAYER, 'counters')
  end
  return next_at
end
