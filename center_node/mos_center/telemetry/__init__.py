"""How a running process is watched: log lines, metrics, and whether it can work."""
