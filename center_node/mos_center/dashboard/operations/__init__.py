"""What admins watch: the audit log, and the health of the center."""
