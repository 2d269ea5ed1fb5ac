"""The one training loop, and what it leaves."""
