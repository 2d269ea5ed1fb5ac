"""The methods, one folder each: its parameters, heads and loss. catalogue.py lists them, base.py says what one is."""
