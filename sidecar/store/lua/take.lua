-- Takes an amount out of an account by request: out of its active blocks in burn order, whatever they are restricted to.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  kind of the journal's line: adjustment
-- ARGV[4]  amount
-- ARGV[5]  policy for what is not available: owe or reject
-- ARGV[6]  who did it, and why, JSON
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   unknown   there is no such customer
--   short     {available}: less than the amount; nothing changed
--   taken   {answer}: packed: charged, debt, how many slices, each {block number, amount}, totals; then journal position
--- include amounts clock keys account journal blocks hold queue once taking
local account_key, once_key, amount = KEYS[5], KEYS[6], tonumber(ARGV[4])
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
if redis.call('HEXISTS', PAYER, 'status') == 0 then return {'unknown'} end

local now = now_ms()
local account = open_at(account_key, ARGV[1], now)
if account[AVAILABLE] < amount and ARGV[5] == 'reject' then return {'short', account[AVAILABLE]} end

local blocks = all_blocks(account)
local slices, moves, missing = take_out(account, blocks, amount, is_active, burns_before)
local debt, owed = take_as_debt(account, missing)
local charged = amount - missing + debt
local position = write(ARGV[3], account, moves .. owed,
  'numbers', struct.pack('>dddd', 1, charged, debt, missing - debt), 'detail', ARGV[6])
account = settle_blocks(account, blocks, now)
local answer = struct.pack('>ddI2', charged, debt, #slices) .. packed_slices(slices) .. image(account) .. position
keep_answer(once_key, ARGV[2], answer)
return {'taken', answer}
