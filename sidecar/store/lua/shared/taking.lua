-- Takes up to `amount` out of what is left of those blocks that `may` be taken from, in the order of `before`. Answers
-- the slices, each {block, amount}, their moves packed, and what is missing.
local function take_out(account, blocks, amount, may, before)
  local missing, moves, slices = amount, {}, {}
  table.sort(blocks, before)
  for _, block in ipairs(blocks) do
    local taken = may(block) and math.min(block[LEFT], missing) or 0
    if taken > 0 then
      block[LEFT], missing = block[LEFT] - taken, missing - taken
      local from = block[STATE] == ACTIVE and AVAILABLE or SCHEDULED
      account[from], account[SPENT_TOTAL] = account[from] - taken, account[SPENT_TOTAL] + taken
      moves[#moves + 1] = struct.pack(MOVE, SPENT, block[NUMBER], taken)
      slices[#slices + 1] = {block, taken}
    end
  end
  return slices, table.concat(moves), missing
end

local function is_active(block)
  return block[STATE] == ACTIVE
end

-- What no block covers becomes debt, as far as there can be so much. Answers it, and its move.
local function take_as_debt(account, missing)
  local debt = math.min(missing, MAX_AMOUNT - account[DEBT])
  account[DEBT] = account[DEBT] + debt
  return debt, debt > 0 and struct.pack(MOVE, OWED, 0, debt) or ''
end

local function packed_slices(slices)
  local texts = {}
  for index, slice in ipairs(slices) do texts[index] = struct.pack('>I4d', slice[1][NUMBER], slice[2]) end
  return table.concat(texts)
end
