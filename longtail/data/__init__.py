"""Packed data sets, their splits, mini-batches and augmentation."""
