"""wam-eval: evaluation of World Action Models and other robot policies in simulation."""

__version__ = "0.1.0"
