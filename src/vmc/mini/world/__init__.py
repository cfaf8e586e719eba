"""The rendered world: persons, places, gestures, and captions that say what is seen."""
