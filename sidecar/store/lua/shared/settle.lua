-- Ends a hold of `hold` base units: charges `charge`, gives the rest back.
--
-- What the hold does not cover is taken from what is available, and what that does not cover becomes debt. What
-- comes back repays debt first, so there is never debt and something available at once. Debt stops at 2^53 - 1.
-- granted = available + held + spent stays true.
--
-- Answers charged, the change of the debt (below 0: so much was repaid), available.
local function settle(customer, field, hold, charge)
  local granted, available, held, spent, owed = struct.unpack(BALANCE, redis.call('HGET', customer, field))
  assert(held >= hold, 'the customer holds less than one of its holds')

  local covered = math.min(charge, hold)
  local taken = math.min(charge - covered, available)
  local debt = math.min(charge - covered - taken, MAX_AMOUNT - owed)
  local repaid = math.min(hold - covered, owed)
  local left = available - taken + hold - covered - repaid
  redis.call('HSET', customer, field,
    struct.pack(BALANCE, granted, left, held - hold, spent + covered + taken + repaid, owed + debt - repaid))
  return covered + taken + debt, debt - repaid, left
end
