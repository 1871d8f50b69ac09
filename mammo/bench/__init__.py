"""How fast and how large: measured beside a bare PyTorch loop, and beside Keras, in one run."""
