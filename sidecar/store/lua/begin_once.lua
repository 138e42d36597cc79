-- Claims an idempotency key, or says what became of its first use.
--
-- KEYS[1]  string  the record: <fingerprint> running, or <fingerprint> done <answer>
-- ARGV[1]  fingerprint of the request
-- ARGV[2]  how long the claim holds when the work does not finish, ms
--
-- Answers, the first that applies:
--   begun     the key is ours
--   mismatch  it was used for another request
--   running   the first use of it is still at work
--   done      {answer}
local record = redis.call('GET', KEYS[1])
if not record then
  redis.call('SET', KEYS[1], ARGV[1] .. ' running', 'PX', ARGV[2])
  return {'begun'}
end
local mark, state, answer = string.match(record, '^(%S+) (%l+) ?(.*)$')
if mark ~= ARGV[1] then return {'mismatch'} end
if state == 'running' then return {'running'} end
return {'done', answer}
