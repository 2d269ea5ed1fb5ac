"""Edges in photographs, on BSDS500: what is an edge pixel, learnt from patches."""
