"""How the miniature's networks are trained, and pipelines with random weights."""
