-- Ends a hold of `hold` base units: charges `charge`, gives the rest back.
--
-- What the hold does not cover is taken from what is available, and what that does not cover becomes debt. What
-- comes back repays debt first, so there is never debt and something available at once. Debt stops at 2^53 - 1.
-- granted = available + held + spent stays true.
--
-- Answers digits: charged, owed (the new debt), repaid, available.
local function settle(customer, unit, hold, charge)
  local field = 'unit:' .. unit
  local granted, available, held, spent, owed = amounts(redis.call('HGET', customer, field))
  assert(held - hold >= 0, 'the customer holds less than one of its holds')

  local covered = math.min(charge, hold)
  local taken = math.min(charge - covered, available)
  local debt = math.min(charge - covered - taken, MAX_AMOUNT - owed)
  local repaid = math.min(hold - covered, owed)
  local left = digits(available - taken + hold - covered - repaid)
  if debt > 0 or repaid > 0 then owed = digits(owed + debt - repaid) end
  redis.call('HSET', customer, field, granted .. ' ' .. left .. ' ' .. digits(held - hold) .. ' ' ..
    digits(spent + covered + taken + repaid) .. ' ' .. owed)
  return digits(covered + taken + debt), digits(debt), digits(repaid), left
end
