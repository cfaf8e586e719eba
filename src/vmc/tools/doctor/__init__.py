"""What `vmc.doctor` looks at: the machine for a planned run, and the software."""
