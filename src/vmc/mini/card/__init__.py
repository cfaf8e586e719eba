"""The miniature's shipped weights: how they get into the package, what they can do, and whether the card is theirs."""
