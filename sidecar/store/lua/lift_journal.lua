-- Begins a journal anew where the archive is: what it holds was archived before, and lines to come have ids behind
-- that, whatever the clock says.
--
-- KEYS[1]  stream  the journal, whose last line is before ARGV[1]
-- KEYS[2]  string  the mark: <ms>-<number> of the last line that is archived
-- ARGV[1]  where the archive is, as an id
--
-- Answers 1; or 0, and nothing changed, if the journal was at ARGV[1] or beyond.
if type(redis.pcall('XADD', KEYS[1], ARGV[1], 'lifted', '')) == 'table' then return 0 end
local ms, number = string.match(ARGV[1], '^(%d+)-(%d+)$')
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%s-%.0f', ms, number + 1))
redis.call('SET', KEYS[2], ARGV[1])
return 1
