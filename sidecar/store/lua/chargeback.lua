-- Takes back what was granted for money that went back: what is left of its block is voided, and of the free one that
-- came with it; what was spent of it is taken elsewhere, or let go. A part of it comes out of its block first.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  hash    the customer's business keys, and chargeback:<block id>: what was taken back but not voided
-- KEYS[8]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  block id
-- ARGV[4]  id of the free block that came with it
-- ARGV[5]  how much; 0: all of it
-- ARGV[6]  policy for what was spent: owe, out of other blocks and then as debt; or cap, it is let go
-- ARGV[7]  what the archive knows of the block: spent
-- ARGV[8]  the same: left, held included
-- ARGV[9]  the same: taken back before, but not voided
-- ARGV[10] text of a hold of nothing, by the block's id
-- ARGV[11] who did it, and why, JSON
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   again     the block is over since the archive was asked; nothing changed
--   exceeded  {most}: no more than this can be taken back; nothing changed
--   taken     {answer}: packed: voided, charged, debt, uncollected, totals, then journal position
--
-- What requests under way hold is theirs; what they give back to a block that is over is voided.
--- include amounts clock keys account journal blocks hold queue once terms
local account_key, terms_key, business_key, once_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end

local now, field, wanted = now_ms(), 'chargeback:' .. ARGV[3], tonumber(ARGV[5])
local account = open_at(account_key, ARGV[1], now)
local blocks = all_blocks(account)
local block, bonus = block_of(terms_key, ARGV[3], blocks), block_of(terms_key, ARGV[4], blocks)
if not block and tonumber(ARGV[8]) > 0 then return {'again'} end

local taken = math.max(tonumber(redis.call('HGET', business_key, field) or 0), tonumber(ARGV[9]))
local spent = block and block[AMOUNT] - block[LEFT] - block[KEPT] - block[GONE] or tonumber(ARGV[7])
local own = wanted > 0 and block and block[STATE] == ACTIVE and math.min(block[LEFT], wanted) or 0
local beyond = wanted > 0 and wanted - own or spent - taken
local left = 0
for _, each in ipairs({block or false, bonus or false}) do left = left + (each and each[LEFT] or 0) end
if beyond > spent - taken then return {'exceeded', own + spent - taken} end
if wanted == 0 and beyond + left == 0 then return {'exceeded', 0} end

-- From here on nothing may fail.
local voided, charged, debt, moves, position = 0, own, 0, {}, nil
for _, each in ipairs({block or false, bonus or false}) do
  if wanted == 0 and each and not is_over(each) then
    voided = voided + each[LEFT]
    position = void_block(account, each, ARGV[11])
  end
end
local function take(from, amount)
  if amount == 0 then return end
  from[LEFT], account[AVAILABLE], account[SPENT_TOTAL] =
    from[LEFT] - amount, account[AVAILABLE] - amount, account[SPENT_TOTAL] + amount
  moves[#moves + 1] = struct.pack(MOVE, SPENT, from[NUMBER], amount)
end
if own > 0 then take(block, own) end
if ARGV[6] == 'owe' then
  table.sort(blocks, burns_before)
  local missing = beyond
  for _, each in ipairs(blocks) do
    local amount = each[STATE] == ACTIVE and each[SCOPE] == 0 and math.min(each[LEFT], missing) or 0
    take(each, amount)
    missing = missing - amount
  end
  debt = math.min(missing, MAX_AMOUNT - account[DEBT])
  account[DEBT], charged = account[DEBT] + debt, charged + beyond - missing + debt
  if debt > 0 then moves[#moves + 1] = struct.pack(MOVE, OWED, 0, debt) end
end
local uncollected = own + beyond - charged
if own + beyond > 0 then
  position = write('chargeback', account, table.concat(moves), 'hold',
    packed_hold(now + 1, OPEN, 0, 0, 0, '', ARGV[10]), 'numbers', struct.pack('>dddd', 1, charged, debt, uncollected),
    'detail', ARGV[11])
  redis.call('HSET', business_key, field, string.format('%.0f', taken + own + beyond))
end
account = settle_blocks(account, blocks, now)
wake(account)
local answer = struct.pack('>dddd', voided, charged, debt, uncollected) .. image(account) .. position
keep_answer(once_key, ARGV[2], answer)
return {'taken', answer}
