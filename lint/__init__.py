"""Checks of `make lint` that are specific to this project: words and migrations."""
