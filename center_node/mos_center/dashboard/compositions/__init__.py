"""Scenes drawn with published versions: a canvas for boxes, and the pictures."""
