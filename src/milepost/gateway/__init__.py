"""The HTTP and gRPC face: protocols, access, limits. No decision about an answer is made here."""
