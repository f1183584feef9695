"""What every page and every JSON view uses, on top of the features."""
