-- Reads an account as it is now: what is due happens first.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- ARGV[1]  <customer id> <unit>
--
-- Answers {the account, the terms of its blocks in the same order}.
--- include amounts clock keys account journal blocks
local account = open_at(KEYS[5], ARGV[1], now_ms())
local numbers = {}
for _, block in ipairs(all_blocks(account)) do numbers[#numbers + 1] = block[NUMBER] end
return {account.text, #numbers > 0 and redis.call('HMGET', KEYS[6], unpack(numbers)) or {}}
