"""One learner a paper."""
