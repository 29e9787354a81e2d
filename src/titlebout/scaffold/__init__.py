"""New repositories, and a generated repository turned over to a team's own data."""
