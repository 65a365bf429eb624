"""HTTP to endpoints: bytes out, bytes in, under a deadline. Knows no wire format and no key."""
