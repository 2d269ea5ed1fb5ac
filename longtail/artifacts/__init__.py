"""What all directories on disk share: reading, digests, weights."""
