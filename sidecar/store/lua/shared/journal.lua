-- One line of the journal, a stream, is one of
--   settlement  <customer>:<reservation> <unit> <outcome> <late> <held> <charged> <owed> <repaid> <available>
--               and rule; committed: usage, source; released: reason
--   grant       <customer> <unit> <grant> <amount> <repaid> <available>
--               and source, reason
-- `owed` is new debt, `repaid` old debt that was repaid, `available` what the customer has left after it.
--
-- Nothing archives the journal yet, so nothing says how far it may be cut: about this many lines are kept.
local JOURNAL_KEPT = '10000'
