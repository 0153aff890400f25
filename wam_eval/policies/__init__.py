"""Policies: the contract, and one module or folder per policy family."""
