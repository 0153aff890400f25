"""HarmoWAM (arXiv 2605.10942): a world model, a predictive and a reactive action expert, and a gate between them."""
