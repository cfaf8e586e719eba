"""Training with Lightning: session, module, batches, losses logged, checkpoints, regularization, and tuned weights."""
