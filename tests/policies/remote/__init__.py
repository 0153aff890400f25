"""Tests of the remote policy."""
