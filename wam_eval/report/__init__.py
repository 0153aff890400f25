"""Report: pure functions from numbers to tables."""
