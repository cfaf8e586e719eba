"""The models that are fine-tuned: base-model families, parameter subsets, adapters, tokens and text encoders."""
