"""A trained network at work: one picture in, one answer out, and the ways to have it faster."""
