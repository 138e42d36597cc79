-- Every operation of the ledger has these keys first, all of one partition; the accounts that it touches follow.
--   hash    the payer: status, units, due, overage, overheld:<unit>, member:<customer id>:<unit>,
--           feature:<unit>:<name>, rule:<unit>:<name>
--   zset    payers by `due`: nothing of a payer ends, starts or is forgotten before it
--   hash    the payer's holds by reservation id
--   stream  the partition's journal
local PAYER, DUE, HOLDS, JOURNAL = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
