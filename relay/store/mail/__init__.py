"""Bodies and copies: what waits, what is held, what became of it."""
