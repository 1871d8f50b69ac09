"""The tasks of a network: the target, the loss, and the outputs that are written for each sample."""
