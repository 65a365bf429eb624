"""What keeps a workspace whole: jobs, verification, audit, backups, collection of garbage."""
