"""Speed and memory: what is measured, and how it is told."""
