"""Ovis-U1's transformer and its encoders."""
