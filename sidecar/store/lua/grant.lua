-- Gives a customer a credit block, and perhaps a free one with it. Once for each idempotency key, and once for ever for each business key.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks: <number>: JSON, id:<block id>: number, scope:<text>, series:<name>: number
-- KEYS[7]  hash    the customer's business keys: <amount>[+<bonus>]:<unit> <answer>
-- KEYS[8]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  block id
-- ARGV[4]  amount
-- ARGV[5]  priority
-- ARGV[6]  1: paid, 0: free
-- ARGV[7]  start, ms; 0: now
-- ARGV[8]  expiry, ms; 0: never, or by its duration
-- ARGV[9]  duration, ms; 0: it has none
-- ARGV[10] id of the block that it starts after, or ''
-- ARGV[11] series, or ''
-- ARGV[12] cap of the series; -1: none
-- ARGV[13] scope as one text, or '': unrestricted
-- ARGV[14] terms, JSON
-- ARGV[15] who granted it, and why, JSON
-- ARGV[16] amount of the free block; 0: there is none
-- ARGV[17] its id
-- ARGV[18] its terms, JSON
-- ARGV[19] kind of the journal's line: grant or transfer_in; what was on its way arrives even if it is past its end
-- ARGV[20] how many business keys follow
-- ARGV[21..]  the business keys, then the scope's fields: feature:<unit>:<name>, rule:<unit>:<name>
--
-- Answers, the first that applies:
--   mismatch   the idempotency key was used for another request; nothing changed
--   replayed   {answer}: as it was given then; nothing changed
--   unknown    there is no such customer
--   used       {business key}: it was used for another amount or unit
--   duplicate  {answer}: as it was given to the business key; nothing changed
--   merged     {customer id}: it is this one now
--   past       {now, ms}: its expiry is not after now and its start
--   no_block   there is no live block to start after
--   capped     the series is full: nothing changed
--   overflow   {granted}: granted would pass 2^53 - 1; nothing changed
--   too_many   the account has BLOCKS_MAX live blocks
--   scopes     the account has as many different scopes as it can have
--   granted    {answer}
-- where answer is packed: amount, withheld, totals, then <journal position> <block id>.
--- include amounts clock keys account journal blocks hold queue once terms adding
local account_key, terms_key, business_key, once_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local name, wanted, bonus, keys_count = ARGV[1], tonumber(ARGV[4]), tonumber(ARGV[16]), tonumber(ARGV[20])
local wanted_of_unit = ARGV[4] .. (bonus > 0 and '+' .. ARGV[16] or '') .. ':' .. string.match(name, ' (.+)$')

local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
if redis.call('HEXISTS', PAYER, 'status') == 0 then return {'unknown'} end
for index = 21, 20 + keys_count do
  local used = redis.call('HGET', business_key, ARGV[index])
  if used then
    local given, answer = string.match(used, '^(%S+) (.*)$')
    if given ~= wanted_of_unit then return {'used', ARGV[index]} end
    return {'duplicate', answer}
  end
end

local now, merged_into = now_ms(), redis.call('HGET', PAYER, 'merged_into')
local account = open_at(account_key, name, now)
-- Who is another customer now gets nothing more, but that one may pay what it owes.
if merged_into and (ARGV[19] == 'grant' or wanted > account[DEBT]) then return {'merged', merged_into} end
local blocks = all_blocks(account)

local starts_at, ends_at, duration = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
if starts_at <= now then starts_at = now end
if ends_at == 0 then ends_at = duration > 0 and math.min(starts_at + duration, NEVER) or NEVER end
if ends_at <= starts_at and ARGV[19] == 'grant' then return {'past', now} end

local awaited
if ARGV[10] ~= '' then
  awaited = block_of(terms_key, ARGV[10], blocks)
  if not awaited then return {'no_block'} end
  starts_at, ends_at = 0, duration > 0 and duration or NEVER
end

local series = ARGV[11] == '' and 0 or tonumber(redis.call('HGET', terms_key, 'series:' .. ARGV[11]) or -1)
local amount = wanted
if tonumber(ARGV[12]) >= 0 then
  local current = 0
  for _, block in ipairs(blocks) do
    if block[IN_SERIES] == series then current = current + block[LEFT] + block[KEPT] end
  end
  amount = math.max(0, math.min(wanted, ARGV[12] - current))
  if amount == 0 then return {'capped'} end
end
if account[GRANTED_TOTAL] + amount + bonus > MAX_AMOUNT then return {'overflow', account[GRANTED_TOTAL]} end
if #blocks + (bonus > 0 and 1 or 0) >= BLOCKS_MAX then return {'too_many'} end
local scope = 0
if ARGV[13] ~= '' then
  scope = number_of(account, terms_key, 'scope:' .. ARGV[13], SCOPES, SCOPES_MAX)
  if not scope then return {'scopes'} end
end
if series == -1 then series = number_of(account, terms_key, 'series:' .. ARGV[11], SERIES, 65535) or 0 end

-- From here on nothing may fail.
local function add(id, size, paid, terms)
  local block = {
    0, size, 0, ends_at, scope, awaited and QUEUED or SCHEDULED_STATE, paid, tonumber(ARGV[5]), series,
    awaited and awaited[NUMBER] or 0, starts_at, now, size, 0,
  }
  return add_block(account, blocks, terms_key, ARGV[19], block, id, terms, ARGV[15])
end

if scope > 0 then
  for index = 21 + keys_count, #ARGV do list_scope(ARGV[index], scope) end
end
if awaited and awaited[FLAGS] < AWAITED then awaited[FLAGS] = awaited[FLAGS] + AWAITED end
local position = add(ARGV[3], amount, tonumber(ARGV[6]), ARGV[14])
if bonus > 0 then position = add(ARGV[17], bonus, FREE, ARGV[18]) end
local live
account, live = settle_blocks(account, blocks, now)
forget_terms(terms_key, live)
wake(account)

local answer = struct.pack('>dd', amount, wanted - amount) .. image(account) .. position .. ' ' .. ARGV[3]
for index = 21, 20 + keys_count do redis.call('HSET', business_key, ARGV[index], wanted_of_unit .. ' ' .. answer) end
keep_answer(once_key, ARGV[2], answer)
return {'granted', answer}
