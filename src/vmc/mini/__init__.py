"""The miniature: a small rendered world of people performing Jester's gestures, and the networks trained on it."""
