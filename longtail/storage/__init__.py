"""Where packed data sets come from and go to: DVC remotes."""
