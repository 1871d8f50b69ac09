"""What a network learns: its target, loss and what is written down."""
