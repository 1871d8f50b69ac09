"""Networks, their weights and losses, and the classifiers on their features."""
