"""Activation patterns: where the unknown network becomes linear."""
