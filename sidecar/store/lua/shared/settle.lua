-- A slice that is settled leaves its block's held amount: `charge` of it is spent, the rest goes back to the block,
-- where it pays debt first, and lapses if the block is over. Adds the moves.
local function settle_slice(account, slice, charge, moves)
  local block = block_numbered(account, slice[2])
  assert(block[KEPT] >= slice[3] and account[HELD] >= slice[3], 'an account holds less than one of its holds')
  local back = slice[3] - charge
  block[KEPT], block.changed = block[KEPT] - slice[3], true
  account[HELD], account[SPENT_TOTAL] = account[HELD] - slice[3], account[SPENT_TOTAL] + charge
  if charge > 0 then moves[#moves + 1] = struct.pack(MOVE, SPENT, block[NUMBER], charge) end
  local paid = math.min(back, account[DEBT])
  if paid > 0 then
    account[DEBT], account[SPENT_TOTAL] = account[DEBT] - paid, account[SPENT_TOTAL] + paid
    moves[#moves + 1] = struct.pack(MOVE, REPAID, block[NUMBER], paid)
    back = back - paid
  end
  if block[STATE] == ACTIVE then
    block[LEFT], account[AVAILABLE] = block[LEFT] + back, account[AVAILABLE] + back
  elseif back > 0 then
    local what = lapse(account, block, back) and EXPIRED or VOIDED
    moves[#moves + 1] = struct.pack(MOVE, what, block[NUMBER], back)
  end
  if block[LEFT] + block[KEPT] == 0 then account.used_up = true end
end

-- Charges what no slice covers: out of what is available, and what that does not cover becomes debt unless `policy`
-- lets it go: `over` of it may be owed whatever it says. Debt stops at MAX_AMOUNT. Answers charged, the debt,
-- uncollected.
local function charge_beyond(account, cost, policy, over, text, moves)
  if cost == 0 then return 0, 0, 0 end
  local missing = draw(account, cost, scopes_of(account, text), function(block, taken)
    account[SPENT_TOTAL] = account[SPENT_TOTAL] + taken
    moves[#moves + 1] = struct.pack(MOVE, SPENT, block[NUMBER], taken)
    if block[LEFT] + block[KEPT] == 0 then account.used_up = true end
  end)
  local debt = math.min(policy == 'owe' and missing or math.min(missing, over), MAX_AMOUNT - account[DEBT])
  if debt > 0 then
    account[DEBT] = account[DEBT] + debt
    moves[#moves + 1] = struct.pack(MOVE, OWED, 0, debt)
  end
  return cost - missing + debt, debt, missing - debt
end

-- Settles one part of a hold: charges `cost`, from its slices first. `final`: what is left of them goes back. The slices
-- are left with what is still held. Nothing is written: all parts are settled before one is kept, since an error takes
-- nothing back.
local function settle_part(account, part, slices, cost, policy, final, text)
  local moves, left, held, over = {}, cost, 0, 0
  for _, slice in ipairs(slices) do
    if slice[1] == part and slice[2] ~= NO_BLOCK then
      local charge = math.min(slice[3], left)
      local settled = final and slice[3] or charge
      left, held = left - charge, held + settled
      if settled > 0 then settle_slice(account, {part, slice[2], settled}, charge, moves) end
      slice[3] = slice[3] - settled
    end
  end
  local owing = left
  for _, slice in ipairs(slices) do
    if slice[1] == part and slice[2] == NO_BLOCK then
      local used = math.min(slice[3], owing)
      local settled = final and slice[3] or used
      owing, held, over, slice[3] = owing - used, held + settled, over + settled, slice[3] - settled
    end
  end
  change_over(account, -over)
  local beyond, debt, uncollected = charge_beyond(account, left, policy, left - owing, text, moves)
  return {
    account = account, part = part, held = held, charged = cost - left + beyond, debt = debt, uncollected = uncollected,
    moves = table.concat(moves), text = text,
  }
end

-- Writes down what `settle_part` has answered, with further fields of its line. `member`: who asked, if its parent
-- pays; else nil. Answers the account as it is then.
local function keep_part(kind, settled, record, member, ...)
  local account = settled.account
  if member then count_in_pool(account, member, -settled.held, settled.charged) end
  local told = {...}
  local counted = caps.count(settled.text, settled.part, -settled.held, settled.charged)
  if counted ~= '' then told[#told + 1], told[#told + 2] = 'caps', counted end
  write(kind, account, settled.moves, 'hold', record, 'numbers',
    struct.pack('>dddd', settled.part, settled.charged, settled.debt, settled.uncollected), unpack(told))
  save(account)
  return tidy(account)
end
