"""Language models of a workspace: registering them, opening them, and watching what they spend."""
