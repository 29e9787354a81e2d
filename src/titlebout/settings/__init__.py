"""titlebout.toml and params.yaml, read and checked."""
