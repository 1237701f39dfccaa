"""What each analysis costs, and what it says of a real model."""
