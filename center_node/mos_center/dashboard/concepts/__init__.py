"""Concepts: the catalogue with its reviews, and the page of each version."""
