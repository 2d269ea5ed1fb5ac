"""A pipeline of edges: `python -m examples.edges WORKSPACE DATA`."""
