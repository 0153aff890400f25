"""LIBERO: its package without the traps, its assets, scenes, and the simulator."""
