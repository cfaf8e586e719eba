"""The gallery: one page with the videos of all arms side by side, which opens from the disk without a network."""
