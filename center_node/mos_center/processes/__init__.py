"""The processes of a center: what `serve` and `worker` run, and how they listen and end."""
