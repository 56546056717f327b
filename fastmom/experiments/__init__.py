"""Experiments: the demonstration, and the rivals that every claim of speed is measured against."""
