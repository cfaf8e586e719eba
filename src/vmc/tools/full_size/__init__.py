"""The paper's model at its full size with random weights: a proof, without a download, that all fits."""
