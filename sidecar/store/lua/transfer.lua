-- Takes an amount out of an account for another customer, who is given it afterwards, elsewhere: what is on its way is
-- kept beside the payer until it has arrived.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  hash    what is on its way from customers of the partition: <transfer id>: <journal position> <ARGV[7]>, a line break, its pieces
--                  as PIECE: number of the block, of the one that it waits for, state, amount, what was granted,
--                  start, end, then its terms
-- KEYS[8]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  amount; 0: all that is left of every block, of those that have not started too
-- ARGV[4]  policy for what is not available: owe or reject
-- ARGV[5]  transfer id
-- ARGV[6]  what the journal says of it in place of a hold, JSON
-- ARGV[7]  from whom, to whom, and why, JSON
-- ARGV[8]  who did it, and why, JSON
-- ARGV[9]  so many more blocks the other customer can have
-- ARGV[10] so much more it can be granted
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   unknown   there is no such customer
--   short     {available}: less than the amount, or nothing at all; nothing changed
--   no_room   the other customer cannot have so much, or so many blocks; nothing changed
--   sent      {answer}: packed: charged, debt, how many slices, each {block number, amount}, totals; then
--             <journal position> <transfer id>
--- include amounts clock keys account journal blocks hold queue once taking
local PIECE = '>I4I4BddddI4'
local account_key, terms_key, once_key, amount = KEYS[5], KEYS[6], KEYS[8], tonumber(ARGV[3])
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
if redis.call('HEXISTS', PAYER, 'status') == 0 then return {'unknown'} end

local now = now_ms()
local account = open_at(account_key, ARGV[1], now)
local whole = amount == 0
if whole then amount = account[AVAILABLE] + account[SCHEDULED] end
if amount == 0 or not whole and account[AVAILABLE] < amount and ARGV[4] == 'reject' then
  return {'short', account[AVAILABLE]}
end

local function has_not_ended(block)
  return block[STATE] <= QUEUED
end

-- Those that have not started have no place in the burn order.
local function granted_before(one, other)
  return one[NUMBER] < other[NUMBER]
end

local blocks = all_blocks(account)
local may, order = is_active, burns_before
if whole then may, order = has_not_ended, granted_before end
local slices, moves, missing = take_out(account, blocks, amount, may, order)
-- Nothing was written yet, and what was taken out is forgotten with the account.
if #slices + math.min(missing, 1) > tonumber(ARGV[9]) or amount > tonumber(ARGV[10]) then return {'no_room'} end
local pieces = {}
for index, slice in ipairs(slices) do
  local block, terms = slice[1], redis.call('HGET', terms_key, slice[1][NUMBER])
  pieces[index] = struct.pack(PIECE, block[NUMBER], block[STATE] == QUEUED and block[AFTER] or 0, block[STATE],
    slice[2], block[AMOUNT], block[STARTS_AT], block[ENDS_AT], #terms) .. terms
  if block[STATE] ~= ACTIVE then block[STATE], block[ENDS_AT] = VOID, NEVER end
end
local debt, owed = take_as_debt(account, missing)
if debt > 0 then pieces[#pieces + 1] = struct.pack(PIECE, 0, 0, ACTIVE, debt, debt, now, NEVER, 0) end
local charged = amount - missing + debt
local position = write('transfer_out', account, moves .. owed, 'story', ARGV[6],
  'numbers', struct.pack('>dddd', 1, charged, debt, missing - debt), 'detail', ARGV[8])
redis.call('HSET', KEYS[7], ARGV[5], position .. ' ' .. ARGV[7] .. '\n' .. table.concat(pieces))
account = settle_blocks(account, blocks, now)
local answer = struct.pack('>ddI2', charged, debt, #slices) .. packed_slices(slices) .. image(account) .. position ..
  ' ' .. ARGV[5]
keep_answer(once_key, ARGV[2], answer)
return {'sent', answer}
