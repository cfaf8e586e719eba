"""What is fine-tuned: base-model families, parameter subsets, adapters, the token, texts, export."""
