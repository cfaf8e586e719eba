"""Pretrains the miniature text-to-video pipeline from scratch: the autoencoder, then text encoder and UNet together."""
