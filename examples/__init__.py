"""Whole pipelines on data that comes with the packages; `make example` runs one."""
