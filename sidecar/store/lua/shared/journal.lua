-- One line of the journal, a stream: <kind> <customer id> <unit>, then
--   after  the account's totals after it
--   moves  what moved, each as MOVE: what, block, amount; the amount comes
--     GRANTED from us into the block        OWED    onto the debt, for what no block covered
--     SPENT   out of the block              REPAID  out of the block, to pay debt
--     EXPIRED, VOIDED  out of the block: it has lapsed
--     RESTORED  into the block, of what was spent out of it
--   and by kind: block, terms, detail, hold, usage, source, numbers, reason.
local MOVE = '>BI4d'
local GRANTED, SPENT, EXPIRED, VOIDED, OWED, REPAID, RESTORED = 1, 2, 3, 4, 5, 6, 7

-- Writes a line about an account; answers where it stands.
local function write(kind, account, moves, ...)
  account[1] = account[1] + 1
  return redis.call('XADD', JOURNAL, '*', kind, account.name, 'after', image(account), 'moves', moves, ...)
end
