-- Makes an account again from what the archive knows of it, if it is not there. Nothing is held of it: what holds kept
-- comes back as if they had been released now. It pays debt first; of a block that is over, the rest lapses.
--
-- KEYS[1..4]  as in keys.lua
-- KEYS[5]  string  the account
-- KEYS[6]  hash    terms of its blocks
-- ARGV[1]  <customer id> <unit>
-- ARGV[2]  header
-- ARGV[3]  blocks: all that is left of one is available (or scheduled), also of one that is over
-- ARGV[4]  why, JSON
-- ARGV[5]  how many fields of the terms follow
-- ARGV[6..]  the terms' fields with their values, then scopes' fields of the payer with the blocks' scopes
--
-- Answers, the first that applies:
--   exists    nothing changed
--   restored
--
-- Of a restricted block that is not over nobody knows how much was held: it pays no debt.
--- include amounts clock keys account journal blocks terms
if redis.call('EXISTS', KEYS[5]) == 1 then return 'exists' end
local account = {struct.unpack(HEADER, ARGV[2])}
account.key, account.name, account.new = KEYS[5], ARGV[1], true
account.text, account.whole, account.seen = ARGV[2] .. ARGV[3], true, {}
local blocks, now, numbers = all_blocks(account), now_ms(), {}
for _, block in ipairs(blocks) do numbers[block[NUMBER]] = true end

local terms_end = 5 + 2 * ARGV[5]
for index = 6, #ARGV, 2 do
  redis.call('HSET', index <= terms_end and KEYS[6] or PAYER, ARGV[index], ARGV[index + 1])
end

table.sort(blocks, burns_before)
for _, block in ipairs(blocks) do
  local moves = ''
  if is_over(block) then
    moves = repay(account, block)
    local rest, expired = block[LEFT], block[STATE] == LAPSED
    local total = expired and EXPIRED_TOTAL or VOIDED_TOTAL
    block[LEFT], block[GONE] = 0, block[GONE] + rest
    account[AVAILABLE], account[total] = account[AVAILABLE] - rest, account[total] + rest
    if rest > 0 then moves = moves .. struct.pack(MOVE, expired and EXPIRED or VOIDED, block[NUMBER], rest) end
    if expired then
      write('expiry', account, moves, 'block', packed_block(block))
    else
      write('void', account, moves, 'block', packed_block(block), 'detail', ARGV[4])
    end
  elseif block[STATE] == ACTIVE and block[SCOPE] == 0 and account[DEBT] > 0 then
    moves = repay(account, block)
    write('activation', account, moves, 'block', packed_block(block))
  elseif block[STATE] == QUEUED and not numbers[block[AFTER]] then
    let_follow(blocks, {block[AFTER], [FLAGS] = AWAITED}, now)
  end
end
for at in string.gmatch(redis.call('HGET', PAYER, 'counters') or '', '=(%d+)') do
  due_at_latest(ARGV[1], tonumber(at))
end
local _, live = settle_blocks(account, blocks, now)
forget_terms(KEYS[6], live)
return 'restored'
