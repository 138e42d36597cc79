"""The archive: the ledger for ever, in SQL. The only speaker of SQL, as the store is of Redis."""
