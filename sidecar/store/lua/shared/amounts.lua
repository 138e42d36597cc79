-- Amounts are whole base units from 0 to 2^53 - 1. They travel as digits: `..` on a number writes 1e+14 at 10^14.
local MAX_AMOUNT = 9007199254740991

-- %d is twice as fast, but takes a C long, which may have 32 bits.
local function digits(number)
  return string.format(number < 2147483648 and '%d' or '%.0f', number)
end

-- The field unit:<unit> of a customer is one balance: <granted> <available> <held> <spent> <owed>.
-- One field, because each further one costs a look-up in the two scripts of every request.
-- Answers digits: they calculate like numbers, but they do not compare like numbers.
local function amounts(balance)
  return string.match(balance or '0 0 0 0 0', '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
end
