"""What `python -m vmc.doctor` looks at: each module gives rows of one table."""
