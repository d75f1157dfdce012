"""Gene models decoded from tracks and sequence."""
