"""Compiled row loops: arrays in, arrays out."""
