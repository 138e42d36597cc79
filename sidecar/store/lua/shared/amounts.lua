-- Amounts are whole base units from 0 to 2^53 - 1, which doubles hold exactly: in Lua, as arguments of redis.call and
-- in integer replies. No digits are made or read. Never join one to a text: `..` writes 1e+14 at 10^14.
local MAX_AMOUNT = 9007199254740991
