"""Training of small networks from scratch, resumable: the gesture classifier, and all networks of the miniature."""
