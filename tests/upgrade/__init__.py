"""An installation that an older Counterpoint leaves, taken over by this one."""
