"""Metrics of classification, their intervals, and whether two differ."""
