-- Names the holds of one partition whose deadline has passed, the oldest first. Changes nothing.
--
-- KEYS[1]  zset    deadlines of the partition's open holds
-- ARGV[1]  most names to answer
--
-- Answers the names.
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000), 'LIMIT', 0, ARGV[1])
