"""Shared building blocks: errors, step results, child processes, Markdown and HTML."""
