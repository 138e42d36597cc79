"""The only writer of the local journal: files in which a process keeps what the store must still be told."""
