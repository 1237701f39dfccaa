"""The alert rules as code: when each alert stands, for how long, and what it says."""
