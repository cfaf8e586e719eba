"""Lightning: the module, the callbacks, regularization sources, the delta, the state."""
