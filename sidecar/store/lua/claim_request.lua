-- Claims a client's key for one attempt of its request, before that is reserved; or says what became of the last one.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  hash    the customer who asks: the payer, or a member of its pool
-- KEYS[6]  string  the key's record: <fingerprint> <reservation id> <until, ms> <repeats> <charged, or ->
-- KEYS[7]  hash    the customer's answers, as in keep_answer.lua
-- ARGV[1]  fingerprint of the request
-- ARGV[2]  reservation id of this attempt, whose end will be remembered
-- ARGV[3]  field of the customer that must exist: the credential of the request
-- ARGV[4]  the parent, if it is the payer; else ''
-- ARGV[5]  payer id
-- ARGV[6]  within how long this attempt will be reserved, ms
-- ARGV[7]  how long a charge is known, ms
-- ARGV[8]  most repetitions that are forwarded for what was charged
-- ARGV[9]  1: an answer that was kept will do
-- ARGV[10]  name of the key
-- ARGV[11]  feature of the request; - for none
--
-- Answers, the first that applies:
--   member              {parent or ''}: somebody else pays for the customer than was assumed; nothing changed
--   unidentified        no such customer, or it does not have the credential
--   key_expired         the credential is that of a proxy key which is over
--   customer_suspended  it or its payer
--   feature_not_allowed  the proxy key may not use this feature
--   mismatch            the last attempt is open or was charged, and asked for something else; nothing changed
--   running             the last attempt is open; nothing changed
--   replayed            {answer}: that of the last attempt, which was charged; nothing changed
--   repeated            {charged}: by the attempts before; the key is this attempt's now
--   claimed             nothing was charged; the key is this attempt's now
--
-- The hold of an attempt says what became of it, so this is exact even if its process died. One that was not reserved
-- in time will not be: its id is dead then. An open hold past its deadline is open until a sweep finds it.
--- include clock keys account hold limits key
local STATES_CHARGED = {[COMMITTED] = true, [COMMITTED_LATE] = true}
local customer = redis.call('HMGET', KEYS[5], 'status', ARGV[3], 'parent')
if not customer[1] or not customer[2] then return {'unidentified'} end
if (customer[3] or '') ~= ARGV[4] then return {'member', customer[3] or ''} end
local now, key = now_ms(), read_key(customer[2], '- - - - - ' .. ARGV[11])
if key.ends_at <= now then return {'key_expired'} end
local payer_status = ARGV[4] == '' and customer[1] or redis.call('HGET', PAYER, 'status')
if customer[1] ~= 'active' or payer_status ~= 'active' then return {'customer_suspended'} end
if not key.may then return {'feature_not_allowed'} end

local repeats, charged = 0, nil

-- Whether the last attempt is open; what it charged is added to what those before it did.
local function is_open(id, ends_at)
  local record = redis.call('HGET', HOLDS, id)
  if not record then
    if ends_at > now then return true end
    if ends_at > 0 then
      redis.call('HSET', HOLDS, id, packed_hold(now + DEAD_KEPT_MS, DEAD, 0, 0, 0, '', string.rep('-', 64)))
      due_at_latest(ARGV[5], now + DEAD_KEPT_MS)
    end
    return false
  end
  local time, state, _, _, slices = read_hold(record)
  if STATES_CHARGED[state] and now < time - END_KEPT_MS + ARGV[7] then
    charged = (charged or 0) + slices[#slices][3]
  end
  return state == OPEN
end

local record = redis.call('GET', KEYS[6])
if record then
  local mark, id, ends_at, count, before = string.match(record, '^(%S+) (%S+) (%d+) (%d+) (%S+)$')
  repeats, charged = tonumber(count), tonumber(before)
  local open = is_open(id, tonumber(ends_at))
  if (open or charged) and mark ~= ARGV[1] then return {'mismatch'} end
  if open then return {'running'} end
  if charged and ARGV[9] == '1' then
    local of, answer = string.match(redis.call('HGET', KEYS[7], ARGV[10]) or '', '^(%S+) (.*)$')
    if of == id then return {'replayed', answer} end
  end
end
if charged and repeats >= tonumber(ARGV[8]) then charged = nil end
local text = string.format('%s %s %.0f %d %s', ARGV[1], ARGV[2], now + ARGV[6], charged and repeats + 1 or 0,
  charged and string.format('%.0f', charged) or '-')
redis.call('SET', KEYS[6], text, 'PX', END_KEPT_MS + ARGV[7])
if charged then return {'repeated', charged} end
return {'claimed'}
