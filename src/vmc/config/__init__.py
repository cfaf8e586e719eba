"""All that knows Hydra: command lines, composed configs, what they may hold, and configs that come from a run."""
