"""MV-WAM (arXiv 2606.21088): video, actions and a value of progress denoised together."""
