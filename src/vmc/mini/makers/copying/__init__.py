"""Training of the miniature's copy descriptor, as SSCD is trained."""
