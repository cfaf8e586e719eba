"""The run folder: writing and reading it."""
