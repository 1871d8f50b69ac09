"""Measurements of speed and memory, beside a bare PyTorch loop and Keras."""
