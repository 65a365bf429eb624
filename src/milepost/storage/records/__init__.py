"""The nouns of the ledger: one module of tables' rows each, mixed into `Ledger`."""
