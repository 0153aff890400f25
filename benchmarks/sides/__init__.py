"""The sides of benchmarks/libero.py: how each evaluation harness is started on the same episodes."""
