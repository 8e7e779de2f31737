"""What goes on inside: attention, all that the drawing shows, experiments, probes, Grad-CAM."""
