-- Reads all books of one payer at one moment, as they are: nothing that is due happens, and no line is written.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  hash  where a copy of the holds may lie for a while
-- KEYS[6..]  for each account: string, the account; hash, the terms of its blocks
-- ARGV[1]  most holds to answer; if there are more they are copied
-- ARGV[2]  how long the copy is kept, ms
--
-- Answers {id of the journal's newest line, the payer's fields, how many holds, the holds or nothing if they were
-- copied, then for each account: its text, the fields of its terms}.
--
-- A copy costs the server a tenth of what an answer would, and can be read in pieces while the books go on.
--- include keys
local last, count = '0-0', redis.call('HLEN', HOLDS)
if redis.call('EXISTS', JOURNAL) == 1 then
  local info = redis.call('XINFO', 'STREAM', JOURNAL)
  for index = 1, #info, 2 do
    if info[index] == 'last-generated-id' then last = info[index + 1] end
  end
end
local holds = {}
if count <= tonumber(ARGV[1]) then
  holds = redis.call('HGETALL', HOLDS)
else
  redis.call('COPY', HOLDS, KEYS[5], 'REPLACE')
  redis.call('PEXPIRE', KEYS[5], ARGV[2])
end
local answer = {last, redis.call('HGETALL', PAYER), count, holds}
for index = 6, #KEYS, 2 do
  answer[index - 1], answer[index] = redis.call('GET', KEYS[index]), redis.call('HGETALL', KEYS[index + 1])
end
return answer
