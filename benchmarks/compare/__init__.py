"""What `headwatch compare` finds: damaged heads, rounding, other trainings."""
