-- Takes a lease, or keeps it for longer.
--
-- KEYS[1]  string  the token of who has it
-- ARGV[1]  token of who asks
-- ARGV[2]  how long it holds, ms
--
-- Answers 1 if it is now of who asks, 0 if it is another's.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
