"""Clips and where they come from: reading, augmentation, video folders, Jester, prompts, caches."""
