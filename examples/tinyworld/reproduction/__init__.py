"""What `reproduce.py` does: tunes, fuses and measures tinyworld's concepts by every method."""
