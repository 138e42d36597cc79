-- Amounts are whole base units from 0 to 2^53 - 1 and travel as digits: `..` on a number writes 1e+14 at 10^14.
local MAX_AMOUNT = 9007199254740991

local function amount(text)
  return tonumber(text or '0')
end

local function digits(number)
  return string.format('%.0f', number)
end
