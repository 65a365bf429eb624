"""The only rooms that span the packages below: each workflow reads records and emits the next."""
