-- The scopes of restricted blocks that a hold may draw from, one byte each: those that name its feature or its rule.
local function scopes_of(account, text)
  if account[SCOPES] == 0 then return '' end
  local feature, rule = string.match(text, '^%S+ %S+ %S+ %S+ %S+ (%S+) (%S+)')
  local unit = unit_of(account)
  local found = redis.call('HMGET', PAYER, 'feature:' .. unit .. ':' .. feature, 'rule:' .. unit .. ':' .. rule)
  return (found[1] or '') .. (found[2] or '')
end

local function may_draw(block, scopes)
  if block[STATE] ~= ACTIVE then return false end
  return block[SCOPE] == 0 or string.find(scopes, string.char(block[SCOPE]), 1, true) ~= nil
end

-- What could be spent, and what is held, of the blocks that a hold may draw from. What comes back to others lapses.
local function within_reach(account, scopes)
  local left, kept, at = 0, 0, HEADER_SIZE + 1
  local block = block_at(account, at)
  while block do
    if may_draw(block, scopes) then left, kept = left + block[LEFT], kept + block[KEPT] end
    at = at + BLOCK_SIZE
    block = block_at(account, at)
  end
  return left, kept
end

-- Takes up to `amount` out of the blocks in burn order; `visit` gets each block with what is taken of it.
-- Answers what is missing.
local function draw(account, amount, scopes, visit)
  local missing, at = amount, HEADER_SIZE + 1
  while missing > 0 do
    local block = block_at(account, at)
    if not block then break end
    if block[LEFT] > 0 and may_draw(block, scopes) then
      local taken = math.min(block[LEFT], missing)
      block[LEFT], block.changed = block[LEFT] - taken, true
      account[AVAILABLE], missing = account[AVAILABLE] - taken, missing - taken
      visit(block, taken)
    end
    at = at + BLOCK_SIZE
  end
  return missing
end
