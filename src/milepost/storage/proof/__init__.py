"""What proves the audit log: its verification, signed checkpoints, and the key that signs them.

Only ``ledger_rows`` knows tables; the others take plain rows.
"""
