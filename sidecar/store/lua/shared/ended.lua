-- The record of a hold, a string, is one of
--   open <unit> <held> <created ms> <deadline ms> <rule>      no expiry: it ends only by a script
--   expired <unit> <held> <created ms> <deadline ms> <rule>   for EXPIRED_KEPT_MS: a commit may still come
--   committed <charged> <owed> <late>                         for ENDED_KEPT_MS: a repeated commit may still come
--   released 0 0 0                                            for ENDED_KEPT_MS: its reserve may still come
local ENDED_KEPT_MS = '60000'

-- {'replayed', state, charged, owed, late, available} for a record that is not open.
local function replayed(record, customer, unit)
  local available = redis.call('HGET', customer, 'available:' .. unit) or '0'
  local state, charged, owed, late = string.match(record, '^(%l+) (%d+) (%d+) (%d)$')
  if not state then return {'replayed', 'expired', '0', '0', '0', available} end
  return {'replayed', state, charged, owed, late, available}
end
