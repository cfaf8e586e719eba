"""The gesture classifier of the miniature: its clips, its batches and its training."""
