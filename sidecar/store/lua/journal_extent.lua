-- Says what one partition's journal holds.
--
-- KEYS[1]  stream  the journal
--
-- Answers {length, id of the oldest line, id of the newest line that ever was}; 0-0 where there is none.
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, '0-0', '0-0'} end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local of = {}
for index = 1, #info, 2 do of[info[index]] = info[index + 1] end
local first = of['first-entry'] and of['first-entry'][1] or '0-0'
return {of['length'], first, of['last-generated-id']}
