-- Gives an external id from one customer to another, which says already that it has it. Safe to repeat.
--
-- KEYS[1]  string  which customer the external id belongs to
-- ARGV[1]  who has it
-- ARGV[2]  who gets it
--
-- Answers, the first that applies:
--   taken  {customer id}: it is somebody else's; nothing changed
--   given
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return {'taken', owner} end
redis.call('SET', KEYS[1], ARGV[2])
return {'given'}
