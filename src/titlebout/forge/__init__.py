"""GitHub, GitHub Enterprise Server, Gitea and Forgejo, and the files of a workflow run."""
