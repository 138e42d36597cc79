-- An idempotency record: <fingerprint> <answer>. It is written with the effect; a refusal leaves none.
local ONCE_KEPT_MS = '86400000'

-- The answer that was given before, or nil; false: the key was used for another request.
local function answered(key, fingerprint)
  local record = redis.call('GET', key)
  if not record then return nil end
  local mark, answer = string.match(record, '^(%S+) (.*)$')
  return mark == fingerprint and answer
end

local function keep_answer(key, fingerprint, answer)
  redis.call('SET', key, fingerprint .. ' ' .. answer, 'PX', ONCE_KEPT_MS)
end
