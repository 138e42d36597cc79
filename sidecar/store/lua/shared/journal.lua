-- Nothing archives the journal yet, so nothing says how far it may be cut: about this many lines are kept.
local JOURNAL_KEPT = '10000'
