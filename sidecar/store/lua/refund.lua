-- Reverses a charge, or a part of it: it goes back into the blocks that paid, and into a new one where they are over.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks, and refunded:<reference>: what was reversed of a charge
-- KEYS[7]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  reference: which charge
-- ARGV[4]  what was charged
-- ARGV[5]  how much of it to reverse; 0: all that is left
-- ARGV[6]  the member who asked, if its parent pays; else ''
-- ARGV[7]  the story of the hold that was charged, JSON
-- ARGV[8]  usage of the charge
-- ARGV[9]  source of the charge
-- ARGV[10] who did it, and why, JSON
-- ARGV[11] id of the new block
-- ARGV[12] its terms, JSON
-- ARGV[13] its priority
-- ARGV[14] 1: it is paid, 0: free
-- ARGV[15] its expiry, ms; 0: never
-- ARGV[16] the counters of spend caps that the charge counts in, with commas between; those that are kept count less
-- ARGV[17..]  number and amount of each block that paid, in the order in which they get it back
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   unknown   there is no such customer
--   exceeded  {refunded}: so much of it was reversed before; nothing changed
--   past      {now, ms}: the expiry of the new block is not after now; nothing changed
--   overflow  {granted}: granted would pass 2^53 - 1; nothing changed
--   too_many  the account has BLOCKS_MAX live blocks
--   refunded  {answer}: packed: amount, restored, granted, all that was ever reversed of the charge, totals; then
--             <journal position> <block id, if there is one>
--- include amounts clock keys account journal blocks hold queue pool counters once terms adding
local account_key, terms_key, once_key = KEYS[5], KEYS[6], KEYS[7]
local refunded_field, most = 'refunded:' .. ARGV[3], tonumber(ARGV[4])
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
if redis.call('HEXISTS', PAYER, 'status') == 0 then return {'unknown'} end
local refunded, wanted = tonumber(redis.call('HGET', terms_key, refunded_field) or 0), tonumber(ARGV[5])
if wanted == 0 then wanted = most - refunded end
if wanted <= 0 or refunded + wanted > most then return {'exceeded', refunded} end

local now = now_ms()
local account = open_at(account_key, ARGV[1], now)
local blocks, by_number = all_blocks(account), {}
for _, block in ipairs(blocks) do by_number[block[NUMBER]] = block end
local backs, skipped, left, restored = {}, refunded, wanted, 0
for index = 17, #ARGV, 2 do
  local paid, block = tonumber(ARGV[index + 1]), by_number[tonumber(ARGV[index])]
  local passed = math.min(paid, skipped)
  local amount = math.min(paid - passed, left)
  skipped, left = skipped - passed, left - amount
  if amount > 0 and block and block[STATE] == ACTIVE then
    backs[#backs + 1], restored = {block, amount}, restored + amount
  end
end
local rest, ends_at = wanted - restored, tonumber(ARGV[15])
if ends_at == 0 then ends_at = NEVER end
if rest > 0 and ends_at <= now then return {'past', now} end
if account[GRANTED_TOTAL] + rest > MAX_AMOUNT then return {'overflow', account[GRANTED_TOTAL]} end
if rest > 0 and #blocks >= BLOCKS_MAX then return {'too_many'} end

-- From here on nothing may fail.
local moves = {}
for _, back in ipairs(backs) do
  local block, amount = back[1], back[2]
  local paid = math.min(amount, account[DEBT])
  block[LEFT], account[AVAILABLE] = block[LEFT] + amount - paid, account[AVAILABLE] + amount - paid
  account[SPENT_TOTAL], account[DEBT] = account[SPENT_TOTAL] - amount + paid, account[DEBT] - paid
  moves[#moves + 1] = struct.pack(MOVE, RESTORED, block[NUMBER], amount)
  if paid > 0 then moves[#moves + 1] = struct.pack(MOVE, REPAID, block[NUMBER], paid) end
end
if ARGV[6] ~= '' then count_in_pool(account, ARGV[6], 0, -wanted) end
local counted, told = {}, {}
for name in string.gmatch(ARGV[16], '[^,]+') do
  if has_counter(name) then
    counted[#counted + 1] = string.format('%s+-%.0f=%.0f', name, wanted, add_to_counter(name, -wanted, 0))
  end
end
if #counted > 0 then told[1], told[2] = 'caps', table.concat(counted, ',') end
local position = write('refund', account, table.concat(moves), 'story', ARGV[7],
  'numbers', struct.pack('>dddd', 1, wanted, 0, 0), 'usage', ARGV[8], 'source', ARGV[9], 'detail', ARGV[10],
  unpack(told))
if rest > 0 then
  local block = {
    0, rest, 0, ends_at, 0, SCHEDULED_STATE, tonumber(ARGV[14]), tonumber(ARGV[13]), 0, 0, now, now, rest, 0,
  }
  position = add_block(account, blocks, terms_key, 'grant', block, ARGV[11], ARGV[12], ARGV[10])
end
redis.call('HSET', terms_key, refunded_field, refunded + wanted)
local live
account, live = settle_blocks(account, blocks, now)
forget_terms(terms_key, live)
wake(account)
local answer = struct.pack('>dddd', wanted, restored, rest, refunded + wanted) .. image(account) .. position .. ' ' ..
  (rest > 0 and ARGV[11] or '')
keep_answer(once_key, ARGV[2], answer)
return {'refunded', answer}
