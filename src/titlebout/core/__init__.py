"""What every room uses: errors, results, child processes, Markdown and HTML."""
