-- Ends a hold of `hold` base units: charges `charge`, gives the rest back.
--
-- What the hold does not cover is taken from what is available, and what that does not cover becomes debt. What
-- comes back repays debt first, so there is never debt and something available at once. Debt stops at 2^53 - 1.
-- granted = available + held + spent stays true.
--
-- Answers charged, owed (the new debt), repaid, available: digits all.
local function settle(customer, unit, hold, charge)
  local names = {'available:' .. unit, 'held:' .. unit, 'spent:' .. unit, 'owed:' .. unit}
  local balance = redis.call('HMGET', customer, names[1], names[2], names[3], names[4])
  local available, held, spent, owed = amount(balance[1]), amount(balance[2]), amount(balance[3]), amount(balance[4])
  assert(held >= hold, 'the customer holds less than one of its holds')

  local covered = math.min(charge, hold)
  local taken = math.min(charge - covered, available)
  local debt = math.min(charge - covered - taken, MAX_AMOUNT - owed)
  local repaid = math.min(hold - covered, owed)
  local left = digits(available - taken + hold - covered - repaid)
  redis.call('HSET', customer, names[1], left, names[2], digits(held - hold),
    names[3], digits(spent + covered + taken + repaid))
  if debt > 0 or repaid > 0 then redis.call('HSET', customer, names[4], digits(owed + debt - repaid)) end
  return digits(covered + taken + debt), digits(debt), digits(repaid), left
end
