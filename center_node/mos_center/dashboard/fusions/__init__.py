"""Fusions: the queue, asking for one, and the page of each job."""
