"""Reading, writing, checking and merging of GFF3."""
