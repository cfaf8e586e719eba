"""Video motion customization: teach a pretrained text-to-video diffusion model a new motion from a few clips."""

__version__ = "0.1.0"
