"""Samples, batches, callbacks and checkpoints of a training."""
