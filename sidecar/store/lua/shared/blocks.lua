-- The list of an account's blocks, for who adds, starts, ends or removes one: it is read and written whole.
local BLOCK = '>I4dddI2BBi4I2I4dddd'
local FLAGS, PRIORITY, IN_SERIES, AFTER, STARTS_AT, CREATED_AT, AMOUNT, GONE = 7, 8, 9, 10, 11, 12, 13, 14
local FREE, PAID, AWAITED = 0, 1, 2

local function all_blocks(account)
  read_rest(account)
  local blocks = {}
  for at = HEADER_SIZE + 1, #account.text, BLOCK_SIZE do
    blocks[#blocks + 1] = {struct.unpack(BLOCK, account.text, at)}
  end
  return blocks
end

local function packed_block(block)
  return struct.pack(BLOCK, unpack(block, 1, 14))
end

-- Priority, expiry, free before paid, oldest, first granted.
local function burns_before(one, other)
  if one[PRIORITY] ~= other[PRIORITY] then return one[PRIORITY] < other[PRIORITY] end
  if one[ENDS_AT] ~= other[ENDS_AT] then return one[ENDS_AT] < other[ENDS_AT] end
  local one_paid, other_paid = one[FLAGS] % 2, other[FLAGS] % 2
  if one_paid ~= other_paid then return one_paid < other_paid end
  if one[CREATED_AT] ~= other[CREATED_AT] then return one[CREATED_AT] < other[CREATED_AT] end
  return one[NUMBER] < other[NUMBER]
end

-- Debt is paid out of a block that has something to spend; answers the moves.
local function repay(account, block)
  local paid = math.min(block[LEFT], account[DEBT])
  if paid == 0 then return '' end
  block[LEFT], account[AVAILABLE] = block[LEFT] - paid, account[AVAILABLE] - paid
  account[SPENT_TOTAL], account[DEBT] = account[SPENT_TOTAL] + paid, account[DEBT] - paid
  return struct.pack(MOVE, REPAID, block[NUMBER], paid)
end

-- A block begins; answers the moves of the debt that it repays.
local function begin(account, block)
  block[STATE] = ACTIVE
  account[SCHEDULED], account[AVAILABLE] = account[SCHEDULED] - block[LEFT], account[AVAILABLE] + block[LEFT]
  return repay(account, block)
end

-- What waits for a block that is over at `at` has its start.
local function let_follow(blocks, over, at)
  if over[FLAGS] < AWAITED then return end
  over[FLAGS] = over[FLAGS] - AWAITED
  for _, block in ipairs(blocks) do
    if block[STATE] == QUEUED and block[AFTER] == over[NUMBER] then
      local ends_at = block[ENDS_AT] == NEVER and NEVER or math.min(at + block[ENDS_AT], NEVER)
      block[STATE], block[STARTS_AT], block[ENDS_AT] = SCHEDULED_STATE, at, ends_at
    end
  end
end

local function is_over(block)
  return block[STATE] == LAPSED or block[STATE] == VOID or block[STATE] == ACTIVE and block[LEFT] + block[KEPT] == 0
end

-- A block that is not over ends: what is left of it can be spent no more. Answers the journal's position.
local function void_block(account, block, detail)
  local amount, from = block[LEFT], block[STATE] == ACTIVE and AVAILABLE or SCHEDULED
  account[from], account[VOIDED_TOTAL] = account[from] - amount, account[VOIDED_TOTAL] + amount
  if block[STATE] == QUEUED then block[ENDS_AT] = NEVER end
  block[STATE], block[LEFT], block[GONE] = VOID, 0, block[GONE] + amount
  local moves = amount > 0 and struct.pack(MOVE, VOIDED, block[NUMBER], amount) or ''
  return write('void', account, moves, 'block', packed_block(block), 'detail', detail)
end

-- One round of what is due: lapses in burn order, then starts. Answers whether there was any.
local function round(account, blocks, now)
  local started, any = {}, false
  table.sort(blocks, burns_before)
  for _, block in ipairs(blocks) do
    if block[STATE] == ACTIVE and block[ENDS_AT] <= now then
      local lapsed, moves = block[LEFT], ''
      block[STATE], block[LEFT], block[GONE] = LAPSED, 0, block[GONE] + lapsed
      account[AVAILABLE], account[EXPIRED_TOTAL] = account[AVAILABLE] - lapsed, account[EXPIRED_TOTAL] + lapsed
      if lapsed > 0 then moves = struct.pack(MOVE, EXPIRED, block[NUMBER], lapsed) end
      write('expiry', account, moves, 'block', packed_block(block))
      let_follow(blocks, block, block[ENDS_AT])
      any = true
    elseif is_over(block) then
      let_follow(blocks, block, now)
    end
  end
  for _, block in ipairs(blocks) do
    if block[STATE] == SCHEDULED_STATE and block[STARTS_AT] <= now then started[#started + 1] = block end
  end
  table.sort(started, function(one, other)
    if one[STARTS_AT] ~= other[STARTS_AT] then return one[STARTS_AT] < other[STARTS_AT] end
    return one[NUMBER] < other[NUMBER]
  end)
  for _, block in ipairs(started) do
    local moves = begin(account, block)
    write('activation', account, moves, 'block', packed_block(block))
    any = true
  end
  return any
end

-- Lets happen what is due, drops what is over, and writes the whole account as the last round has sorted it; it is
-- opened anew.
local function settle_blocks(account, blocks, now)
  while round(account, blocks, now) do end
  local live, next_at = {}, NEVER
  for _, block in ipairs(blocks) do
    if block[KEPT] > 0 or not is_over(block) then live[#live + 1] = block end
    if block[STATE] == ACTIVE then next_at = math.min(next_at, block[ENDS_AT]) end
    if block[STATE] == SCHEDULED_STATE then next_at = math.min(next_at, block[STARTS_AT]) end
  end
  if account.new then enlist(account) end
  account[NEXT_AT] = next_at
  local parts = {struct.pack(HEADER, unpack(account, 1, 14))}
  for _, block in ipairs(live) do parts[#parts + 1] = packed_block(block) end
  redis.call('SET', account.key, table.concat(parts))
  if next_at < NEVER then due_at_latest(account.name, next_at) end
  return open(account.key, account.name), live
end

-- The account as it is at `now`. What is due happens whether or not the operation that asks has an effect.
local function open_at(key, name, now)
  local account = open(key, name)
  if account[NEXT_AT] > now then return account end
  return (settle_blocks(account, all_blocks(account), now))
end

-- After `save`: blocks that were used up leave the list, and what waits for them starts. Answers the account then.
local function tidy(account)
  if not account.used_up then return account end
  local whole = open(account.key, account.name)
  return (settle_blocks(whole, all_blocks(whole), now_ms()))
end
