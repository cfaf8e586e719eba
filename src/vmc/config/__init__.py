"""All that knows Hydra: command lines, composed configs and their checks, and configs that come from a run."""
