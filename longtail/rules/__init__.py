"""How a trained model answers, one file a rule: nearest neighbours, the head, both. registry.py lists them."""
