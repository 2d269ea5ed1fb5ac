"""What to transfer from: how similar two domains are, and which classes of one are the most similar to others."""
