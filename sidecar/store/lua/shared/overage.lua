-- What a payer may hold and owe beyond what its blocks have. Of the payer:
--   overage  lines of words, one for a unit: <unit> <block, allow or notify> <most that it may owe>
-- What a hold keeps of that is a slice of no block (NO_BLOCK), and overheld:<unit> of the payer is the sum of them. So
-- however many requests run at once, what is owed and what may yet be owed are never more than the most.
local NO_BLOCK = 0

-- The most that may be owed, 0 if nothing may, what open holds may yet owe, and the policy.
local function overage_of(account)
  local found = redis.call('HMGET', PAYER, 'overage', 'overheld:' .. unit_of(account))
  local most, over, policy = 0, found[2] and struct.unpack('>d', found[2]) or 0, 'block'
  for unit, word, limit in string.gmatch(found[1] or '', '(%S+) (%a+) (%d+)') do
    if unit == unit_of(account) then most, policy = tonumber(limit), word end
  end
  return most, over, policy
end

-- Open holds may owe so much more or less; for `save`.
local function change_over(account, amount)
  if amount ~= 0 then
    local _, over = overage_of(account)
    account.over = over + amount
  end
end

-- Takes up to `amount` out of the blocks, which hold it; adds the slices. Answers what is missing.
local function hold_of_blocks(account, part, amount, text, slices)
  local missing = draw(account, amount, scopes_of(account, text), function(block, taken)
    block[KEPT] = block[KEPT] + taken
    slices[#slices + 1] = {part, block[NUMBER], taken}
  end)
  account[HELD] = account[HELD] + amount - missing
  return missing
end

-- Why a part cannot be held: {word, what is within reach, what holds keep of it, part, amount}.
local function shortage(account, part, amount, text)
  local left, kept = within_reach(account, scopes_of(account, text))
  local most, over = overage_of(account)
  local word = left + kept + most - account[DEBT] >= amount and 'holds_in_flight' or 'insufficient_credits'
  return {word, left + math.max(most - account[DEBT] - over, 0), kept + over, part, amount}
end

-- Holds `amount` of an account that is as the store has it: of its blocks, and what they do not have as overage.
-- `waits`: it may not yet. Adds the slices. Answers the account, or nil if it does not fit; then nothing may be saved.
local function hold_part(account, part, amount, text, slices, waits)
  local before = #slices
  if not waits and account[DEBT] == 0 and account[AVAILABLE] >= amount and
    hold_of_blocks(account, part, amount, text, slices) == 0 then
    return account
  end
  local most, over = overage_of(account)
  if most == 0 or waits then return nil end
  for index = #slices, before + 1, -1 do slices[index] = nil end
  account = open(account.key, account.name)
  local missing = hold_of_blocks(account, part, amount, text, slices)
  if account[DEBT] + over + missing > most then return nil end
  if missing > 0 then
    slices[#slices + 1] = {part, NO_BLOCK, missing}
    account.over = over + missing
  end
  return account
end
