"""What the trainings of the miniature's networks share: the loop, the learner, its optimiser and the state on disk."""
