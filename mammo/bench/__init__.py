"""Speed and memory, measured beside a bare PyTorch loop and beside Keras, in one run."""
