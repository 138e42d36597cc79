-- Lets a payer whose books are damaged wait, so that it does not keep the others of its partition from their sweep.
--
-- KEYS[1]  zset  payers by when something of them is due
-- ARGV[1]  payer id
-- ARGV[2]  for how long, ms
--
-- Answers nothing of use. What the payer says of itself, `due`, stays as it is.
--- include clock
return redis.call('ZADD', KEYS[1], 'XX', now_ms() + ARGV[2], ARGV[1])
