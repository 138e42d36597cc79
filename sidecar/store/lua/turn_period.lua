-- Closes a period of an account, opens the next one, or both as one. Once for each idempotency key, and once for ever
-- for each end and each start. Of what is available of the blocks of the series of periods so much expires, in burn
-- order, as is not carried; what holds have of them, and every other block, is left alone.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- KEYS[7]  hash    the customer's business keys: closed:<unit>:<end, ms> <answer>, opened:<unit>:<start, ms> <answer>,
--                  and opened:<unit>, the start that was opened last
-- KEYS[8]  string  the idempotency record
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  fingerprint of the request
-- ARGV[3]  series of the blocks of periods
-- ARGV[4]  who did it, and why, JSON
-- ARGV[5]  end of the period, ms; '': none is closed
-- ARGV[6]  percent of what is available that is carried
-- ARGV[7]  most that is carried; -1: any amount
-- ARGV[8]  how long what is carried lasts, ms; 0: for ever
-- ARGV[9]  start of the period, ms; '': none is opened
-- ARGV[10] block id
-- ARGV[11] amount
-- ARGV[12] priority
-- ARGV[13] terms, JSON
--
-- Answers, the first that applies:
--   mismatch  the idempotency key was used for another request; nothing changed
--   replayed  {answer}: as it was given then; nothing changed
--   unknown   there is no such customer
--   merged    {customer id}: it is this one now
--   overflow  {granted}: granted would pass 2^53 - 1; nothing changed
--   too_many  the account has BLOCKS_MAX live blocks
--   series    the account has as many different series as it can have
--   turned    {answer}: <journal position> <closed> <opened>, each - if that was not asked for; else
--               <1: it was before, 0>,<available>,<expired>,<carried>,<balance>
--               <1: it was before, 0>,<amount>,<balance>,<block id>
--             with the balance after it: available and held, less debt
--- include amounts clock keys account journal blocks hold queue once terms adding
local account_key, terms_key, business_key, once_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local before = answered(once_key, ARGV[2])
if before == false then return {'mismatch'} end
if before then return {'replayed', before} end
local found = redis.call('HMGET', PAYER, 'status', 'merged_into')
if not found[1] then return {'unknown'} end
if found[2] then return {'merged', found[2]} end

local unit = string.match(ARGV[1], ' (.+)$')
local closed_field, opened_field = 'closed:' .. unit .. ':' .. ARGV[5], 'opened:' .. unit .. ':' .. ARGV[9]
local closed = ARGV[5] == '' and '-' or redis.call('HGET', business_key, closed_field)
local opened = ARGV[9] == '' and '-' or redis.call('HGET', business_key, opened_field)

local now, amount = now_ms(), tonumber(ARGV[11])
local account = open_at(account_key, ARGV[1], now)
local blocks = all_blocks(account)
local series = tonumber(redis.call('HGET', terms_key, 'series:' .. ARGV[3]) or -1)
if not opened then
  if account[GRANTED_TOTAL] + amount > MAX_AMOUNT then return {'overflow', account[GRANTED_TOTAL]} end
  if #blocks >= BLOCKS_MAX then return {'too_many'} end
  if series == -1 then series = number_of(account, terms_key, 'series:' .. ARGV[3], SERIES, 65535) end
  if not series then return {'series'} end
end

-- From here on nothing may fail.
local function text(...)
  local words = {...}
  for index, each in ipairs(words) do words[index] = string.format('%.0f', each) end
  return table.concat(words, ',')
end

local function balance()
  return account[AVAILABLE] + account[HELD] - account[DEBT]
end

local function of_periods()
  local theirs = {}
  table.sort(blocks, burns_before)
  for _, block in ipairs(blocks) do
    if block[STATE] == ACTIVE and block[IN_SERIES] == series then theirs[#theirs + 1] = block end
  end
  return theirs
end

-- So much of an amount, exactly: the amount times the percentage could be beyond what a number holds.
local function share(of, percent)
  return math.floor(of / 100) * percent + math.floor(of % 100 * percent / 100)
end

local function close()
  local available, most, moves, position = 0, tonumber(ARGV[7]), {}
  for _, block in ipairs(of_periods()) do available = available + block[LEFT] end
  local carried = share(available, tonumber(ARGV[6]))
  if most >= 0 then carried = math.min(carried, most) end
  local left = available - carried
  for _, block in ipairs(of_periods()) do
    local taken = math.min(block[LEFT], left)
    if taken > 0 then
      block[LEFT], block[GONE], left = block[LEFT] - taken, block[GONE] + taken, left - taken
      moves[#moves + 1] = struct.pack(MOVE, EXPIRED, block[NUMBER], taken)
    end
  end
  account[AVAILABLE] = account[AVAILABLE] - available + carried
  account[EXPIRED_TOTAL] = account[EXPIRED_TOTAL] + available - carried
  local detail, told = cjson.decode(ARGV[4]), text(available, available - carried, carried, balance())
  detail.period = ARGV[5] .. ',' .. told
  position = write('period_close', account, table.concat(moves), 'detail', cjson.encode(detail))
  local ends_at = now + ARGV[8]
  for _, block in ipairs(ARGV[8] == '0' and {} or of_periods()) do
    if block[ENDS_AT] > ends_at and block[LEFT] + block[KEPT] > 0 then
      block[ENDS_AT] = ends_at
      position = write('extension', account, '', 'block', packed_block(block), 'detail', ARGV[4])
    end
  end
  return position, told
end

local function open_next()
  local block = {0, amount, 0, NEVER, 0, SCHEDULED_STATE, FREE, tonumber(ARGV[12]), series, 0, now, now, amount, 0}
  local position = add_block(account, blocks, terms_key, 'grant', block, ARGV[10], ARGV[13], ARGV[4])
  return position, text(amount, balance()) .. ',' .. ARGV[10]
end

local position = '-'
if not closed then
  position, closed = close()
  redis.call('HSET', business_key, closed_field, closed)
  closed = '0,' .. closed
elseif closed ~= '-' then
  closed = '1,' .. closed
end
if not opened then
  position, opened = open_next()
  redis.call('HSET', business_key, opened_field, opened, 'opened:' .. unit, ARGV[9])
  opened = '0,' .. opened
elseif opened ~= '-' then
  opened = '1,' .. opened
end
if position ~= '-' then
  local live
  account, live = settle_blocks(account, blocks, now)
  forget_terms(terms_key, live)
  wake(account)
end
local answer = position .. ' ' .. closed .. ' ' .. opened
keep_answer(once_key, ARGV[2], answer)
return {'turned', answer}
