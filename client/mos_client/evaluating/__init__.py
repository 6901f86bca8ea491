"""`mos-client evaluate`: what is evaluated, and the run over all of it."""
