"""Shared by all rooms: atomic files, seeds, errors, caches, processes, tables of text."""
