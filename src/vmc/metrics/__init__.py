"""Videos in, numbers out."""
