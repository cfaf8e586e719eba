"""Training with Lightning: session, module, batches, callbacks, regularization, and the deltas that runs write."""
