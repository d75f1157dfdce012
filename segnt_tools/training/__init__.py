"""Recipes, data, loss and loop of training."""
