-- The record of a hold, a string, is one of
--   open <unit> <held> <deadline ms> <ttl ms> <rule>      no expiry: it ends only by a script
--   expired <unit> <held> <deadline ms> <ttl ms> <rule>   for EXPIRED_KEPT_MS: a commit may still come
--   committed <charged> <owed> <late>                     for ENDED_KEPT_MS: the same commit may still come
--   released 0 0 0                                        for ENDED_KEPT_MS: its reserve may still come
local ENDED_KEPT_MS = '60000'

-- {word, state, charged, owed, late, available} for a record that is not open.
local function ended(word, record, balance)
  local _, available = amounts(balance)
  local state, charged, owed, late = string.match(record, '^(%l+) (%d+) (%d+) (%d)$')
  if not state then return {word, 'expired', '0', '0', '0', available} end
  return {word, state, charged, owed, late, available}
end
