"""Package a model as a bento: service, request limits, container recipe and smoke test."""
