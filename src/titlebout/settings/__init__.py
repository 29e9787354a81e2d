"""The configuration files titlebout.toml and params.yaml: one module per table, and one typed reader."""
