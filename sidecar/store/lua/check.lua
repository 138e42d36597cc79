-- Reads what decides whether a customer could use something now, for several things at once: what is due happens first.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  an account of the payer for each unit that is asked for
-- KEYS[last]  hash    the customer who asks: the payer, or a member of its pool
-- ARGV[1]  customer id
-- ARGV[2]  the parent, if it is the payer; else ''
-- ARGV[3..]  <payer id> <unit> of each account; then for each question: which account, from 1; its feature and its rule,
--            - for none; the name of the counter that its price depends on, or ''
--
-- Answers, the first that applies:
--   unknown  there is no such customer
--   member   {parent or ''}: somebody else pays for the customer than was assumed
--   looked   {external id, its status, its payer's, then each question: {within reach, held of it, owed, the counter,
--            cap of the pool (-1: none), held and spent of it, the payer's overage policy, the most that it may owe and what
--            open holds may yet owe, each spend cap that could refuse it: its id, its scope and what of it, its window, most,
--            used and held in it, when it is over, 0}}
local customer = redis.call('HMGET', KEYS[#KEYS], 'status', 'external_id', 'parent', 'overage')
if not customer[1] then return {'unknown'} end
if (customer[3] or '') ~= ARGV[2] then return {'member', customer[3] or ''} end

-- The common case, before the functions of the general one are even defined: one question about an account of the
-- customer's own in which nothing is restricted, capped, due or may be owed. The general case would answer the same.
if #KEYS == 6 and #ARGV == 7 and ARGV[2] == '' and not customer[4] then
  local account = redis.call('GETRANGE', KEYS[5], 0, 87)
  if #account == 88 then
    local available, held = struct.unpack('>dd', account, 25)
    local owed, next_at, _, scopes = struct.unpack('>ddI4I2', account, 65)
    local time = next_at < 9007199254740991 and redis.call('TIME')
    if scopes == 0 and (not time or next_at > time[1] * 1000 + math.floor(time[2] / 1000)) then
      local counter = ARGV[7] ~= '' and redis.call('HGET', KEYS[1], 'counter:' .. ARGV[7])
      return {'looked', customer[2], customer[1], customer[1], {available, held, owed, counter, -1, 0, 0, 'block', 0, 0}}
    end
  end
end
--- include amounts clock keys account journal blocks hold pool draw overage counters caps
local now = now_ms()

local function share(account)
  if ARGV[2] == '' then return -1, 0, 0 end
  local _, cap, held, spent = share_of(account, ARGV[1])
  return cap, held, spent
end

local accounts, reply = {}, {'looked', customer[2], customer[1], redis.call('HGET', PAYER, 'status')}
for index = 1, #KEYS - 5 do accounts[index] = open_at(KEYS[4 + index], ARGV[2 + index], now) end
for at = #KEYS - 2, #ARGV, 4 do
  local account = accounts[tonumber(ARGV[at])]
  local text = string.format('- %s - - - %s %s', ARGV[1], ARGV[at + 1], ARGV[at + 2])
  local most, over, policy = overage_of(account)
  local left, kept, cap, held, spent = account[AVAILABLE], account[HELD], share(account)
  if account[SCOPES] > 0 then left, kept = within_reach(account, scopes_of(account, text)) end
  reply[#reply + 1] = {
    left, kept, account[DEBT], ARGV[at + 3] ~= '' and redis.call('HGET', PAYER, 'counter:' .. ARGV[at + 3]), cap, held,
    spent, policy, most, over, unpack(caps.blocking(account, text, now)),
  }
end
return reply
