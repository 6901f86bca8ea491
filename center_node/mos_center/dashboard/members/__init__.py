"""Members, invitations and tokens."""
