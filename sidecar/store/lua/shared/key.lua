-- What a credential may do. A proxy key's field of the customer, key:<digest>, has the id of the key and, if the key has
-- limits, more words; an external id's field has neither:
--   <key id> <when it is over, ms> <feature>[,<feature>…] <requests> <in so many ms> <at once>; - for all features, 0
--   requests for no rate, which is a limit as in limits.lua

-- What the field says, for a hold with this text.
local function read_key(field, text)
  local id, ends_at, features, count, period, burst = string.match(field, '^(%S+) (%d+) (%S+) (%d+) (%d+) (%d+)$')
  if not id then return {id = field, ends_at = NEVER, may = true, limit = ''} end
  local feature = string.match(text, '^%S+ %S+ %S+ %S+ %S+ (%S+)')
  local key = {
    id = id, ends_at = tonumber(ends_at), limit = '', rate = {tonumber(count), tonumber(period), tonumber(burst)},
    may = features == '-' or string.find(',' .. features .. ',', ',' .. feature .. ',', 1, true) ~= nil,
  }
  if count ~= '0' then
    local ticks = math.floor(period * TICKS_IN_MS / count)
    key.limit = string.format(' rate key:%s %.0f %.0f', id, ticks, ticks * burst)
  end
  return key
end

-- Its rate, or zeros, behind what `reply` has; of a key without limits nothing.
local function with_rate(reply, key)
  for _, number in ipairs(key.rate or {}) do reply[#reply + 1] = number end
  return reply
end
