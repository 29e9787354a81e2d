"""API client for GitHub, GitHub Enterprise Server, Gitea and Forgejo; files and local runs of workflows."""
