"""Models: the catalogue, versions with lineage and quality, comparing two."""
