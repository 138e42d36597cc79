-- Lets happen what is due of one payer: blocks start and lapse, overdue holds go back, old ends and the counters of
-- old periods are forgotten.
-- Harmless when two sweeps do it at once.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  all accounts of the payer
-- ARGV[1]  where the last call stopped, or 0
-- ARGV[2]  about how many holds to look at
-- ARGV[3]  payer id
-- ARGV[4..]  for each account: <payer id> <unit>
--
-- Answers {where to go on, or 0 at the end; how many holds expired}.
--
-- Holds that are made between two calls lower `due` by themselves; if the calls are not continued, the payer is due
-- again after AGAIN_MS.
--- include amounts clock keys account journal blocks hold queue pool draw overage counters caps limits settle
local AGAIN_MS = 60000

local now, accounts, earliest, expired = now_ms(), {}, NEVER, 0
for index = 1, #KEYS - 4 do
  local account = open_at(KEYS[4 + index], ARGV[3 + index], now)
  accounts[unit_of(account)] = account
end

local function expire(id, record)
  local _, _, charged, steps, slices, text = read_hold(record)
  local asking, units = string.match(text, '^%S+ (%S+) %d+ %d (%S+)')
  local member, settled = asking ~= ARGV[3] and asking or nil, {}
  for unit in string.gmatch(units, '([^,=]+)=') do
    local account = assert(accounts[unit], 'a hold is in a unit that its payer has no account in')
    settled[#settled + 1] = settle_part(account, #settled + 1, slices, 0, 'owe', true, text)
  end
  for _, each in ipairs(settled) do
    local account = keep_part('hold_expiry', each, record, member)
    accounts[unit_of(account)] = open(account.key, account.name)
  end
  give_back_claims(text)
  end_limits(text, '', false)
  redis.call('HSET', HOLDS, id, packed_hold(now + LATE_KEPT_MS, OVERDUE, charged, steps, 0, '', text))
  expired = expired + 1
end

local found = redis.call('HSCAN', HOLDS, ARGV[1], 'COUNT', ARGV[2])
for index = 1, #found[2], 2 do
  local id, record = found[2][index], found[2][index + 1]
  local time, state = struct.unpack(HOLD, record)
  if time > now then
    earliest = math.min(earliest, time)
  elseif state == OPEN then
    expire(id, record)
    earliest = math.min(earliest, now + LATE_KEPT_MS)
  else
    redis.call('HDEL', HOLDS, id)
  end
end
earliest = math.min(earliest, forget_counters(now, now + AGAIN_MS), forget_rates(now, now + AGAIN_MS))
for _, account in pairs(accounts) do
  caps.unmark(account)
  earliest = math.min(earliest, account[NEXT_AT], wake(account))
end

if ARGV[1] ~= '0' or found[1] ~= '0' then
  local before = ARGV[1] == '0' and NEVER or tonumber(redis.call('HGET', PAYER, 'due') or NEVER)
  earliest = math.min(earliest, before, now + AGAIN_MS)
end
if earliest < NEVER then
  redis.call('HSET', PAYER, 'due', earliest)
  redis.call('ZADD', DUE, earliest, ARGV[3])
else
  redis.call('HDEL', PAYER, 'due')
  redis.call('ZREM', DUE, ARGV[3])
end
return {found[1], expired}
