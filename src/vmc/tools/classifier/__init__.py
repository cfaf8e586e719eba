"""`python -m vmc.prepare classifier`: a gesture classifier trained on Jester, as the miniature's is on its clips."""
