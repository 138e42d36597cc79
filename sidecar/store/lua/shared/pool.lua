-- What a member's parent lets it spend in a unit: a field member:<customer id>:<unit> of the parent. cap -1: no cap.
local POOL = '>ddd'
local NO_CAP = struct.pack(POOL, -1, 0, 0)

-- Answers the field, cap, held, spent.
local function share_of(account, member)
  local field = 'member:' .. member .. ':' .. unit_of(account)
  return field, struct.unpack(POOL, redis.call('HGET', PAYER, field) or NO_CAP)
end

local function count_in_pool(account, member, held, spent)
  local field, cap, held_before, spent_before = share_of(account, member)
  redis.call('HSET', PAYER, field, struct.pack(POOL, cap, held_before + held, spent_before + spent))
end

-- The refusal of an amount that a member's cap does not let through: {word, left of the cap, held, part, amount}.
local function beyond_cap(account, member, amount, part)
  if not member then return nil end
  local _, cap, held, spent = share_of(account, member)
  if cap < 0 or spent + held + amount <= cap then return nil end
  return {'pool_cap_reached', math.max(cap - spent - held, 0), held, part, amount}
end
