"""What is recorded about a base model when it is registered."""
