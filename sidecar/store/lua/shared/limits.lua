-- How much at once and how fast: fields of the payer, by bucket, a name that says what is counted together.
--   in_flight:<bucket>  how many open holds have a slot of it; there while there are any
--   rate:<bucket>       when all that was taken of it will have come back, ms (the arrival time of GCRA)
--   rates               when the last of those is over, ms: then a sweep forgets them
-- A reserve has all limits in one argument, a list of four words: slot <bucket> <most> 0, or
-- rate <bucket> <cost> <burst>, in ticks. The text of the hold has what its end gives back: <bucket> for a slot,
-- <bucket>=<ticks> for a cost that its commit corrects. Ticks are binary, so that no sum of them is ever rounded.
local TICKS_IN_MS = 1024

local function each_limit(list)
  return string.gmatch(list, '(%S+) (%S+) (%d+) (%d+)')
end

local function rate_at(bucket)
  return tonumber(redis.call('HGET', PAYER, 'rate:' .. bucket) or 0)
end

local function set_rate(bucket, at)
  local over_at = tonumber(redis.call('HGET', PAYER, 'rates') or 0)
  redis.call('HSET', PAYER, 'rate:' .. bucket, at, 'rates', math.max(over_at, at))
end

local function in_flight(bucket)
  return tonumber(redis.call('HGET', PAYER, 'in_flight:' .. bucket) or 0)
end

-- The refusal by the limit that lets nobody through for the longest, or nil. A cost above the burst passes when
-- nothing else was taken, and is waited for afterwards.
local function beyond_limits(list, now)
  local refused, last, index = nil, now, 0
  for kind, bucket, cost, burst in each_limit(list) do
    index = index + 1
    if kind == 'rate' then
      local at = math.max(rate_at(bucket), now)
      local room_at = at + (math.min(cost, burst) - burst) / TICKS_IN_MS
      if room_at > last then
        refused, last = {'rate_limited', index, (at - now) * TICKS_IN_MS, math.ceil(room_at - now)}, room_at
      end
    elseif not refused and in_flight(bucket) >= tonumber(cost) then
      refused = {'concurrency_limited', index, in_flight(bucket), 0}
    end
  end
  return refused
end

local function take_limits(list, now)
  for kind, bucket, cost in each_limit(list) do
    if kind == 'rate' then
      set_rate(bucket, math.max(rate_at(bucket), now) + cost / TICKS_IN_MS)
    else
      redis.call('HINCRBY', PAYER, 'in_flight:' .. bucket, 1)
    end
  end
end

-- What is taken of each limit, behind what `reply` has: slots, or ticks that have not come back yet.
local function with_limits(reply, list, now)
  for kind, bucket in each_limit(list) do
    reply[#reply + 1] = kind == 'rate' and math.max(rate_at(bucket) - now, 0) * TICKS_IN_MS or in_flight(bucket)
  end
  return reply
end

-- The hold with this text has ended. `used`: what its costs really are, as in its text; '' leaves them. `late`: its
-- slots have been given back before.
local function end_limits(text, used, late)
  local ends = string.match(text, '^%S+ %S+ %d+ [23] %S+ %S+ %S+ %S+ %S+ (%S+)')
  local really = {}
  for bucket, ticks in string.gmatch(used, '([^,=]+)=(%d+)') do really[bucket] = tonumber(ticks) end
  for each in string.gmatch(ends or '', '[^,]+') do
    local bucket, ticks = string.match(each, '^(.+)=(%d+)$')
    if not bucket then
      local field = 'in_flight:' .. each
      if not late and redis.call('HINCRBY', PAYER, field, -1) <= 0 then redis.call('HDEL', PAYER, field) end
    elseif really[bucket] and really[bucket] ~= tonumber(ticks) then
      local now, more = now_ms(), (really[bucket] - ticks) / TICKS_IN_MS
      local at = rate_at(bucket)
      if more > 0 or at > now then set_rate(bucket, (more > 0 and math.max(at, now) or at) + more) end
    end
  end
end

-- The same for one that was not served: its costs come back.
local function give_limits_back(text)
  local none = string.gsub(string.match(text, '^%S+ %S+ %d+ [23] %S+ %S+ %S+ %S+ %S+ (%S+)') or '', '=%d+', '=0')
  end_limits(text, none, false)
end

-- Forgets the rates when all of them are over; answers when that will be, `again` at the earliest.
local function forget_rates(now, again)
  local over_at = tonumber(redis.call('HGET', PAYER, 'rates') or NEVER)
  if over_at == NEVER then return NEVER end
  if over_at > now then return math.max(math.ceil(over_at), again) end
  for _, field in ipairs(redis.call('HKEYS', PAYER)) do
    if field == 'rates' or string.find(field, '^rate:') then redis.call('HDEL', PAYER, field) end
  end
  return NEVER
end
