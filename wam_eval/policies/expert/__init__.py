"""The scripted expert: it reads the simulator's own state and solves LIBERO tasks without learning."""

from wam_eval.policies.expert.expert import Expert

__all__ = ["Expert"]
