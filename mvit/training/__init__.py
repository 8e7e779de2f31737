"""Training: settings and recipes, one step, a run and its state, how fast it is."""
