-- Moves the mark of what is archived forward, and drops the lines up to it.
--
-- KEYS[1]  stream  the journal
-- KEYS[2]  string  the mark: <ms>-<number> of the last line that is archived
-- ARGV[1]  where the archive was before, as an id
-- ARGV[2]  where it is now
--
-- Answers, the first that applies:
--   passed   the mark was there already; nothing changed
--   archive  it moved, but from beyond ARGV[1]: the archive has less than it once had
--   store    it moved, but from before ARGV[1], and that line is not here: the store has lost what it had written
--   moved
local function id(text)
  local ms, number = string.match(text, '^(%d+)-(%d+)$')
  return {tonumber(ms), tonumber(number)}
end

local function is_before(one, other)
  return one[1] < other[1] or one[1] == other[1] and one[2] < other[2]
end

local mark, after, upto = id(redis.call('GET', KEYS[2]) or '0-0'), id(ARGV[1]), id(ARGV[2])
if not is_before(mark, upto) then return 'passed' end
local kept = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', upto[1], upto[2] + 1))
if is_before(after, mark) then return 'archive' end
if is_before(mark, after) and #kept == 0 then return 'store' end
return 'moved'
