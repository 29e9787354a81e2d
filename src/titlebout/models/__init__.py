"""Model folders, model protocols, and the champion of a project."""
