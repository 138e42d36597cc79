-- Gives the whole hold of a request back. Safe to repeat.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5..]   string  the account of each part
-- ARGV[1]  reservation id
-- ARGV[2]  reason
-- ARGV[3]  the member who asked, if its parent pays; else ''
-- ARGV[4..]  for each part: <payer id> <unit>
--
-- Answers, the first that applies:
--   unknown   it never was, or it has ended and is not remembered; its id is dead for a while, so that a reserve that
--             is still under way does nothing; if it waits in the queue of its first part, it leaves it
--   resolved  {state}: it was committed; nothing changed
--   replayed  {available of each part}: it was released before; nothing changed
--   released  {available of each part}: it is free again
--- include amounts clock keys account journal blocks hold queue pool draw overage counters caps limits settle
local record = redis.call('HGET', HOLDS, ARGV[1])
if not record then
  local forget_at = now_ms() + DEAD_KEPT_MS
  redis.call('HSET', HOLDS, ARGV[1], packed_hold(forget_at, DEAD, 0, 0, 0, '', string.rep('-', 64)))
  due_at_latest(ARGV[4], forget_at)
  leave(open(KEYS[5], ARGV[4]), ARGV[1])
  return {'unknown'}
end
local _, state, charged, steps, slices, text = read_hold(record)
if state == DEAD or state == OVERDUE then return {'unknown'} end
if state == COMMITTED or state == COMMITTED_LATE then return {'resolved', STATES[state]} end

local member, now, settled = ARGV[3] ~= '' and ARGV[3] or nil, now_ms(), {}
local reply = {state == OPEN and 'released' or 'replayed'}
for part = 1, #KEYS - 4 do
  local account = open_at(KEYS[4 + part], ARGV[3 + part], now)
  if state == OPEN then
    settled[part] = settle_part(account, part, slices, 0, 'owe', true, text)
  else
    reply[1 + part] = account[AVAILABLE]
  end
end
if state ~= OPEN then return reply end
give_back_claims(text)
give_limits_back(text)
for part, each in ipairs(settled) do
  local account = keep_part('release', each, record, member, 'reason', ARGV[2])
  reply[1 + part] = account[AVAILABLE]
  wake(account)
end
if remembered(text) then
  remember(ARGV[1], RELEASED, charged, steps, {}, text)
else
  redis.call('HDEL', HOLDS, ARGV[1])
end
return reply
