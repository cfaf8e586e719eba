"""Video motion customization: teach a pretrained text-to-video diffusion model a new motion from a few clips."""

import os

# Threads of a processor that wait for each other sleep. They would spin, and beside another busy process keep the core
# from the one that they wait for: steps of two threads then take ten times as long. Read when PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
