"""Published weights: where they come from, getting them, and telling whether a local file is one of them."""
