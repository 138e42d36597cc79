-- Moves the expiry of a credit block that has not ended.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  block id
-- ARGV[4]  who did it, and why, JSON
-- ARGV[5]  expiry, ms; 0: never
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   no_block  the customer has no such block, or it is over
--   queued    it has not started, so it has no expiry yet; nothing changed
--   past      {now, ms}: the expiry is not after now and its start; nothing changed
--   extended  {answer}: packed: 0, totals, then journal position
--- include amounts clock keys account journal blocks once terms
local account_key, terms_key, once_key = KEYS[5], KEYS[6], KEYS[7]
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end

local now, ends_at = now_ms(), tonumber(ARGV[5])
if ends_at == 0 then ends_at = NEVER end
local account = open_at(account_key, ARGV[1], now)
local blocks = all_blocks(account)
local block = block_of(terms_key, ARGV[3], blocks)
if not block or is_over(block) then return {'no_block'} end
if block[STATE] == QUEUED then return {'queued'} end
if ends_at <= math.max(now, block[STARTS_AT]) then return {'past', now} end

block[ENDS_AT] = ends_at
local position = write('extension', account, '', 'block', packed_block(block), 'detail', ARGV[4])
account = settle_blocks(account, blocks, now)
local answer = struct.pack('>d', 0) .. image(account) .. position
keep_answer(once_key, ARGV[2], answer)
return {'extended', answer}
