"""Simulators: the contract, the process that hosts one, and a folder for each benchmark."""
