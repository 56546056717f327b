"""Moments straight from samples: what they say about the network, without forming a tensor."""
