"""Serving a workspace: what is put together from ledger, artifacts, encoders and engine."""
