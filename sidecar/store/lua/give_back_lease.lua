-- Gives a lease back.
--
-- KEYS[1]  string  the token of who has it
-- ARGV[1]  token of who asks
--
-- Answers 1, or 0 if it was not theirs any more.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
return 1
