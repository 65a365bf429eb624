"""What may answer: the gate that decides it. Pure functions of records; nothing here is stored."""
