"""The REST API; one file per noun."""
