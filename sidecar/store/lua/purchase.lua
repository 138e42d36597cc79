-- Buys: takes an amount out of a customer's account, of one wallet perhaps, and gives it a block, or does neither. Once
-- for each idempotency key, and once for ever for each purchase.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account that pays
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  string  the account that gets the block; it may be the same
-- KEYS[8]  hash    terms of its blocks
-- KEYS[9]  hash    the customer's business keys: <fingerprint of the terms> <answer>
-- KEYS[10] string  the idempotency record
-- ARGV[1]  <customer id> <unit> of the account that pays
-- ARGV[2]  the same of the other
-- ARGV[3]  fingerprint of the request
-- ARGV[4]  business key of the purchase
-- ARGV[5]  fingerprint of what is bought, for what, on which terms
-- ARGV[6]  amount to pay
-- ARGV[7]  wallet that pays; '': any block
-- ARGV[8]  who bought it, and why, JSON
-- ARGV[9]  block id
-- ARGV[10] amount that is bought
-- ARGV[11] priority
-- ARGV[12] 1: paid, 0: free
-- ARGV[13] expiry, ms; 0: never, or by its duration
-- ARGV[14] duration, ms; 0: it has none
-- ARGV[15] scope as one text, or '': unrestricted
-- ARGV[16] terms, JSON
-- ARGV[17..]  the scope's fields, as in grant.lua
--
-- Answers, the first that applies:
--   mismatch   the idempotency key was used for another request; nothing changed
--   replayed   {answer}: as it was given then; nothing changed
--   unknown    there is no such customer
--   used       the purchase was made on other terms
--   duplicate  {answer}: as it was given to the purchase; nothing changed
--   merged     {customer id}: it is this one now
--   past       {now, ms}: its expiry is not after now; nothing changed
--   short      {available}: less than the amount; nothing changed
--   overflow   {granted}: granted would pass 2^53 - 1; nothing changed
--   too_many   the account has BLOCKS_MAX live blocks
--   scopes     the account has as many different scopes as it can have
--   bought     {answer}: <journal position> <block id>
--- include amounts clock keys account journal blocks hold queue once terms taking adding
local once_key, business_key, amount, granted = KEYS[10], KEYS[9], tonumber(ARGV[6]), tonumber(ARGV[10])
local before = answered(once_key, ARGV[3])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
if redis.call('HEXISTS', PAYER, 'status') == 0 then return {'unknown'} end
local used = redis.call('HGET', business_key, ARGV[4])
if used then
  local terms, answer = string.match(used, '^(%S+) (.*)$')
  if terms ~= ARGV[5] then return {'used'} end
  return {'duplicate', answer}
end
local merged_into = redis.call('HGET', PAYER, 'merged_into')
if merged_into then return {'merged', merged_into} end

local now, same = now_ms(), KEYS[5] == KEYS[7]
local ends_at, duration = tonumber(ARGV[13]), tonumber(ARGV[14])
if ends_at == 0 then ends_at = duration > 0 and math.min(now + duration, NEVER) or NEVER end
if ends_at <= now then return {'past', now} end
local payer = open_at(KEYS[5], ARGV[1], now)
local account = same and payer or open_at(KEYS[7], ARGV[2], now)
local payer_blocks = all_blocks(payer)
local blocks = same and payer_blocks or all_blocks(account)

local function pays(block)
  if block[STATE] ~= ACTIVE then return false end
  return ARGV[7] == '' or cjson.decode(redis.call('HGET', KEYS[6], block[NUMBER])).wallet == ARGV[7]
end

local there = 0
for _, block in ipairs(payer_blocks) do
  if pays(block) then there = there + block[LEFT] end
end
if there < amount then return {'short', there} end
if account[GRANTED_TOTAL] + granted > MAX_AMOUNT then return {'overflow', account[GRANTED_TOTAL]} end
if #blocks >= BLOCKS_MAX then return {'too_many'} end
local scope = 0
if ARGV[15] ~= '' then
  scope = number_of(account, KEYS[8], 'scope:' .. ARGV[15], SCOPES, SCOPES_MAX)
  if not scope then return {'scopes'} end
end

-- From here on nothing may fail.
local _, moves = take_out(payer, payer_blocks, amount, pays, burns_before)
write('purchase', payer, moves, 'numbers', struct.pack('>dddd', 1, amount, 0, 0), 'detail', ARGV[8])
for index = 17, #ARGV do list_scope(ARGV[index], scope) end
local block = {
  0, granted, 0, ends_at, scope, SCHEDULED_STATE, tonumber(ARGV[12]), tonumber(ARGV[11]), 0, 0, now, now, granted, 0,
}
local position = add_block(account, blocks, KEYS[8], 'grant', block, ARGV[9], ARGV[16], ARGV[8])
local live
account, live = settle_blocks(account, blocks, now)
forget_terms(KEYS[8], live)
wake(account)
if not same then settle_blocks(payer, payer_blocks, now) end
local answer = position .. ' ' .. ARGV[9]
redis.call('HSET', business_key, ARGV[4], ARGV[5] .. ' ' .. answer)
keep_answer(once_key, ARGV[3], answer)
return {'bought', answer}
