"""Published architectures that metrics read, each as its own files have it."""
