"""Measures of how much of a concept a model keeps."""
