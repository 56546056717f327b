"""Convex losses over balls of the recursive kernel's space, which hold the l1-bounded networks."""
