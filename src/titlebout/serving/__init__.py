"""A model as a bento: service, package, smoke test."""
