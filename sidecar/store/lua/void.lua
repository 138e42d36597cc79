-- Ends a credit block: what is left of it can be spent no more. What holds keep of it stays theirs.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  block id
-- ARGV[4]  who did it, and why, JSON
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   no_block  the customer has no such block, or it is over
--   voided    {answer}: packed: amount that was voided, totals, then journal position
--- include amounts clock keys account journal blocks hold queue once terms
local account_key, terms_key, once_key = KEYS[5], KEYS[6], KEYS[7]
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end

local now = now_ms()
local account = open_at(account_key, ARGV[1], now)
local blocks = all_blocks(account)
local block = block_of(terms_key, ARGV[3], blocks)
if not block or is_over(block) then return {'no_block'} end

local amount = block[LEFT]
local position = void_block(account, block, ARGV[4])
account = settle_blocks(account, blocks, now)
wake(account)
local answer = struct.pack('>d', amount) .. image(account) .. position
keep_answer(once_key, ARGV[2], answer)
return {'voided', answer}
