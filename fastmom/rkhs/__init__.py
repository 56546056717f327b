"""Ball problems in the space of the recursive kernel: convex losses over all functions of bounded norm."""
