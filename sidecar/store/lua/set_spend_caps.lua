-- Says which spend caps a customer has in one unit. They count from now on.
--
-- KEYS[1..4]  as in keys.lua, of who pays for it
-- KEYS[5]  string  the account
-- KEYS[6]  hash    the customer: the payer, or a member of its pool
-- ARGV[1]  <payer id> <unit>
-- ARGV[2]  customer id
-- ARGV[3]  what to do: add, remove, or put all of them, for a customer who is yet to be restored
-- ARGV[4]  the line of one as in caps.lua, an id, or all lines
-- ARGV[5]  most caps that it may have
--
-- Answers, the first that applies:
--   unknown   there is no such customer, or another one pays for it; nothing changed
--   missing   it has no such cap; nothing changed
--   too_many  nothing changed
--   set       {all lines}
--- include amounts clock keys account
local PAYER_ID, UNIT = string.match(ARGV[1], '^(%S+) (.+)$')
local field, marker = 'caps:' .. ARGV[2] .. ':' .. UNIT, 'capped:' .. UNIT
if ARGV[3] ~= 'put' then
  local customer = redis.call('HMGET', KEYS[6], 'status', 'parent')
  if not customer[1] or (customer[2] or ARGV[2]) ~= PAYER_ID then return {'unknown'} end
end

local lines, found = {}, false
for line in string.gmatch(redis.call('HGET', PAYER, field) or '', '[^\n]+') do
  if ARGV[3] == 'remove' and string.match(line, '^%S+') == ARGV[4] then
    found = true
  elseif ARGV[3] ~= 'put' then
    lines[#lines + 1] = line
  end
end
if ARGV[3] == 'remove' and not found then return {'missing'} end
if ARGV[3] == 'add' and #lines >= tonumber(ARGV[5]) then return {'too_many'} end
if ARGV[3] ~= 'remove' then lines[#lines + 1] = ARGV[4] end
local text = table.concat(lines, '\n')

local function has_caps()
  for _, name in ipairs(redis.call('HKEYS', PAYER)) do
    if string.match(name, '^caps:[^:]*:(.*)$') == UNIT then return true end
  end
  return false
end

if text ~= '' then
  redis.call('HSET', PAYER, field, text, marker, 1)
  local account = open(KEYS[5], ARGV[1])
  if not account.new and account[WAITING] < CAPPED then mark(account, account[WAITING] + CAPPED) end
else
  redis.call('HDEL', PAYER, field)
  if not has_caps() then redis.call('HDEL', PAYER, marker) end
end
redis.call('XADD', JOURNAL, '*', 'spend_caps', ARGV[2], 'data', cjson.encode({unit = UNIT, caps = text}))
return {'set', text}
