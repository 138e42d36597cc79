-- An account is a customer's balance in one unit: a string, its totals, then its live blocks in the order in which
-- they burn, each of the same size. It is changed in place; only who adds, ends or removes a block writes it anew.
--   granted = scheduled + available + held + spent + expired + voided
local HEADER, HEADER_SIZE, TOTALS_SIZE = '>ddddddddddI4BBI2', 88, 72
local SEQ, GRANTED_TOTAL, SCHEDULED, AVAILABLE, HELD = 1, 2, 3, 4, 5
local SPENT_TOTAL, EXPIRED_TOTAL, VOIDED_TOTAL, DEBT = 6, 7, 8, 9
local NEXT_AT, NEXT_NUMBER, WAITING, SCOPES, SERIES = 10, 11, 12, 13, 14

-- Added to WAITING, which is 1 while anybody waits: there are spend caps in the unit, see caps.lua.
local CAPPED, WAITING_AT = 2, 84

local NOTHING = struct.pack(HEADER, 0, 0, 0, 0, 0, 0, 0, 0, 0, NEVER, 0, 0, 0, 0)

-- What settling and drawing need of a block; the rest, for who changes the list, is in blocks.lua.
local BLOCK_START, BLOCK_SIZE = '>I4dddI2B', 74
local NUMBER, LEFT, KEPT, ENDS_AT, SCOPE, STATE = 1, 2, 3, 4, 5, 6
local ACTIVE, SCHEDULED_STATE, QUEUED, LAPSED, VOID = 1, 2, 3, 4, 5

-- Where in a block's entry its lapsed amount is.
local GONE_AT = 66

-- So many blocks are read at first: most requests draw from the first one.
local WINDOW = HEADER_SIZE + 4 * BLOCK_SIZE

-- The account at `key`, named '<customer id> <unit>'. Nothing is written before `save`.
local function open(key, name)
  local text = redis.call('GETRANGE', key, 0, WINDOW - 1)
  local new = text == ''
  if new then text = NOTHING end
  local account = {struct.unpack(HEADER, text)}
  account.key, account.name, account.text, account.new = key, name, text, new
  account.whole, account.seen, account.used_up = #text < WINDOW, {}, false
  if new and redis.call('HEXISTS', PAYER, 'capped:' .. string.match(name, ' (.+)$')) == 1 then
    account[WAITING] = CAPPED
  end
  return account
end

local function mark(account, marks)
  redis.call('SETRANGE', account.key, WAITING_AT, string.char(marks))
  account[WAITING] = marks
end

-- The totals as the journal shows them.
local function image(account)
  return struct.pack('>ddddddddd', unpack(account, 1, 9))
end

local function read_rest(account)
  if not account.whole then
    account.text = account.text .. redis.call('GETRANGE', account.key, WINDOW, -1)
    account.whole = true
  end
end

-- The block whose entry begins at `at`; nil behind the last one. It is the same table each time.
local function block_at(account, at)
  local block = account.seen[at]
  if block then return block end
  if at > #account.text then read_rest(account) end
  if at > #account.text then return nil end
  block = {struct.unpack(BLOCK_START, account.text, at)}
  block.at, account.seen[at] = at, block
  return block
end

-- The block with this number. A block that is held from is always there.
local function block_numbered(account, number)
  local first = block_at(account, HEADER_SIZE + 1)
  if first[NUMBER] == number then return first end
  read_rest(account)
  local packed, at = struct.pack('>I4', number), HEADER_SIZE
  repeat
    at = string.find(account.text, packed, at + 1, true)
    assert(at, 'a hold has a slice of a block that is gone')
  until (at - HEADER_SIZE - 1) % BLOCK_SIZE == 0
  return block_at(account, at)
end

-- So much that came back to a block which is over lapses there, as the block did. Answers whether it expired.
local function lapse(account, block, amount)
  local expired = block[STATE] == LAPSED
  local total = expired and EXPIRED_TOTAL or VOIDED_TOTAL
  account[total] = account[total] + amount
  block.gone = (block.gone or struct.unpack('>d', account.text, block.at + GONE_AT)) + amount
  return expired
end

-- Nothing of the payer may be due before its `due`, which the caller may have read already.
local function due_at_latest(name, at, due)
  if at < tonumber(due or redis.call('HGET', PAYER, 'due') or NEVER) then
    redis.call('HSET', PAYER, 'due', at)
    redis.call('ZADD', DUE, at, string.match(name, '^%S+'))
  end
end

local function unit_of(account)
  return string.match(account.name, ' (.+)$')
end

-- A payer lists the units that it has accounts in.
local function enlist(account)
  local unit, units = unit_of(account), redis.call('HGET', PAYER, 'units')
  redis.call('HSET', PAYER, 'units', units and units .. ' ' .. unit or unit)
end

-- Writes the totals and the blocks that changed.
local function save(account)
  if account.new then enlist(account) end
  if account.over then
    local field = 'overheld:' .. unit_of(account)
    if account.over > 0 then
      redis.call('HSET', PAYER, field, struct.pack('>d', account.over))
    else
      redis.call('HDEL', PAYER, field)
    end
    account.over = nil
  end
  local header, first = struct.pack(HEADER, unpack(account, 1, 14)), account.seen[HEADER_SIZE + 1]
  if first and first.changed then
    header = header .. struct.pack('>I4dd', first[NUMBER], first[LEFT], first[KEPT])
    first.changed = false
  end
  redis.call('SETRANGE', account.key, 0, header)
  for at, block in pairs(account.seen) do
    if block.changed then
      redis.call('SETRANGE', account.key, at - 1, struct.pack('>I4dd', block[NUMBER], block[LEFT], block[KEPT]))
    end
    if block.gone then
      redis.call('SETRANGE', account.key, at - 1 + GONE_AT, struct.pack('>d', block.gone))
    end
  end
end
