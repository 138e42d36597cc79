-- Moves a clock that is ahead of the server's, forwards only.
--
-- KEYS[1]  string  how far it is ahead, ms
-- ARGV[1]  by or to
-- ARGV[2]  by how much, or to which instant, ms
-- ARGV[3]  so far it may be ahead, ms
--
-- Answers, the first that applies:
--   back   {now}: it is later already; nothing changed
--   far    {now}: it would be too far ahead; nothing changed
--   moved  {now}: how far it is ahead
--- include clock
local ahead, now = tonumber(redis.call('GET', KEYS[1]) or 0), now_ms()
local wanted = ARGV[1] == 'by' and ahead + ARGV[2] or ARGV[2] - now
if wanted < ahead then return {'back', now + ahead} end
if wanted > tonumber(ARGV[3]) then return {'far', now + ahead} end
redis.call('SET', KEYS[1], string.format('%.0f', wanted))
return {'moved', wanted}
