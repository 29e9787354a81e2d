"""Generate new repositories, and replace the example in a generated repository with a team's own data."""
