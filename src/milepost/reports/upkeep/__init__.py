"""Tables about looking after a workspace. Records in, documents out; no I/O."""
