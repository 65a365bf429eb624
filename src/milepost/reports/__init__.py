"""What people look at, made from records alone: tables, charts, pages and the JSON contracts.

Nothing here knows a workspace, a ledger or a predictor, and nothing here computes a statistic.
"""
