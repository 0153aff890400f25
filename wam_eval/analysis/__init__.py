"""Analysis: pure functions from ledgers to numbers."""
