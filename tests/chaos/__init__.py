"""Faults on purpose: parts of a running hub are killed at random moments, then all is checked."""
