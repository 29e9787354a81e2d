"""Shared building blocks: errors, step results, child processes, Markdown, HTML and figures."""
