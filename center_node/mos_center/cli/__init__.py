"""The commands of `mos-center`; one file per noun."""
