"""What the plain entry points do."""
