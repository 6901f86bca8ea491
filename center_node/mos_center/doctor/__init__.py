"""`mos-center doctor`: what is wrong with a center, and what to do about it."""
