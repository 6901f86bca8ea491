"""The dashboard: pages for reviewers and members, rendered on the server."""
