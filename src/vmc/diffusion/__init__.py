"""The mathematics, which knows no network: noise processes, timestep samplers, objectives, sampling."""
