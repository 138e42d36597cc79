-- Reads how the spend caps of a customer stand in one unit.
--
-- KEYS[1..4]  as in keys.lua, of who pays for it
-- ARGV[1]  customer id
-- ARGV[2]  unit
--
-- Answers {all lines, then for each cap: used, held, when its window is over, ms}.
--- include clock keys counters caps
local reply = {redis.call('HGET', PAYER, 'caps:' .. ARGV[1] .. ':' .. ARGV[2]) or ''}
for _, cap in ipairs(caps.of(ARGV[1], ARGV[2])) do
  local stand = caps.stand(cap, now_ms())
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = stand[1], stand[2], stand[3][1][2]
end
return reply
