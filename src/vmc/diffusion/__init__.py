"""The model and what is done to it: components, parameters, timesteps, token, objective, sampling."""
