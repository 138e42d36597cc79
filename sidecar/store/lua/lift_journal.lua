-- Sees to it that lines to come have ids behind a given one, whatever the clock says.
--
-- KEYS[1]  stream  the journal
-- ARGV[1]  id
--
-- Answers 1 if it had to, else 0: there is a line, or was one, that is not before it.
local added = redis.pcall('XADD', KEYS[1], ARGV[1], 'lift', '')
if type(added) == 'table' then return 0 end
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
