"""Parts that every page shares: the skeleton, the look, palettes, the head map, highlighted text."""
