"""Tasks of a network: target, loss, and the rows that are written down."""
