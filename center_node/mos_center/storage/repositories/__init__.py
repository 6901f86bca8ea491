"""The repositories of `domain.ports`, in SQL; one file per noun."""
