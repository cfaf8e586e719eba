"""Clips and where they come from: sources, reading, sampling in time, augmentation, prompts."""
