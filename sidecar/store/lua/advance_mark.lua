-- Moves the mark of what is archived forward; it never goes back.
--
-- KEYS[1]  string  <ms>-<number> of the last line that is archived
-- ARGV[1]  ms
-- ARGV[2]  number
--
-- Answers 1 if the mark moved, else 0.
local ms, number = string.match(redis.call('GET', KEYS[1]) or '0-0', '^(%d+)-(%d+)$')
ms, number = tonumber(ms), tonumber(number)
local new_ms, new_number = tonumber(ARGV[1]), tonumber(ARGV[2])
if new_ms < ms or new_ms == ms and new_number <= number then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. '-' .. ARGV[2])
return 1
