-- Requests that wait for holds of an account to come back, in the order in which they came: a record among the holds,
-- under a name that is no reservation id. Like each of those it begins with a time, after which the sweep forgets it,
-- and a state. The account's WAITING says whether it is there. Each waiter:
--   ends_at   from then on it waits no more
--   amount    what it wants to hold
--   woken_at  when it was told to try again; 0: it sleeps; UNHEARD: nobody heard it
--   counted   1: if its process listens, PUBLISH counts it; in a cluster it may listen at another node
--   id        its reservation id, which begins with its process's name
local WAITER, FIRST_WAITER_AT = '>dddBs', 24

-- A process that is told comes within a round trip; one that does not is gone, and nobody waits for it.
local COMES_WITHIN_MS, UNHEARD = 1000, 1

-- It tries a last time when its patience ends, and until then keeps its place.
local TRIES_LAST_WITHIN_MS = 1000

local function queue_of(account, now)
  local queue = {}
  if account[WAITING] % CAPPED == 0 then return queue end
  local record = redis.call('HGET', HOLDS, 'waiters ' .. unit_of(account)) or ''
  local at = FIRST_WAITER_AT
  while at < #record do
    local waiter = {}
    waiter.ends_at, waiter.amount, waiter.woken_at, waiter.counted, waiter.id, at = struct.unpack(WAITER, record, at)
    if waiter.ends_at > now then queue[#queue + 1] = waiter end
  end
  return queue
end

local function keep_queue(account, queue)
  local name, waiting, ends_at, texts = 'waiters ' .. unit_of(account), #queue > 0 and 1 or 0, 0, {}
  for index, waiter in ipairs(queue) do
    ends_at = math.max(ends_at, waiter.ends_at)
    texts[index] = struct.pack(WAITER, waiter.ends_at, waiter.amount, waiter.woken_at, waiter.counted, waiter.id)
  end
  if waiting == 1 then
    redis.call('HSET', HOLDS, name, packed_hold(ends_at, WAITERS, 0, 0, 0, '', table.concat(texts)))
    due_at_latest(account.name, ends_at)
  else
    redis.call('HDEL', HOLDS, name)
  end
  local others = account[WAITING] - account[WAITING] % CAPPED
  if waiting + others ~= account[WAITING] then mark(account, waiting + others) end
end

local function is_gone(waiter, now)
  return waiter.woken_at > 0 and waiter.woken_at + COMES_WITHIN_MS < now
end

-- Its place in the queue, or nil, and how much those before it want; all are before one that is not there.
local function place_in(queue, id, now)
  local before = 0
  for index, waiter in ipairs(queue) do
    if waiter.id == id then return index, before end
    if not is_gone(waiter, now) then before = before + waiter.amount end
  end
  return nil, before
end

-- Tells a waiter's process; answers false if nobody listens there any more.
local function tell(waiter)
  local channel = 'sidecar:woken:' .. string.match(waiter.id, '^[^_]*_?[^_]*')
  -- A user who may not publish must still be able to settle.
  local heard = redis.pcall('PUBLISH', channel, waiter.id)
  return type(heard) == 'number' and (heard > 0 or waiter.counted == 0)
end

-- Tells the first in the queue to try again, as many as what is available is enough for. Whoever lets something become
-- available does this at its end. Answers when a sweep has to do it again, if those who were told do not come.
local function wake(account)
  if account[WAITING] % CAPPED == 0 then return NEVER end
  local now, again_at = now_ms(), NEVER
  local queue, left, changed = queue_of(account, now), account[DEBT] > 0 and -1 or account[AVAILABLE], false
  for _, waiter in ipairs(queue) do
    if not is_gone(waiter, now) then
      if waiter.amount > left then break end
      if waiter.woken_at == 0 then
        waiter.woken_at, changed = tell(waiter) and now or UNHEARD, true
      end
      if waiter.woken_at ~= UNHEARD then
        left, again_at = left - waiter.amount, math.min(again_at, waiter.woken_at + COMES_WITHIN_MS + 1)
      end
    end
  end
  if changed or #queue == 0 then keep_queue(account, queue) end
  if #queue < 2 then return NEVER end
  if changed then due_at_latest(account.name, again_at) end
  return again_at
end

-- One that waits no more makes room for the next.
local function leave(account, id)
  local queue = queue_of(account, now_ms())
  local place = place_in(queue, id, 0)
  if not place then return end
  table.remove(queue, place)
  keep_queue(account, queue)
  wake(account)
end
