"""How good a network is: accuracy, confusion matrix, calibration."""
