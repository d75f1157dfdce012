"""Assembly in: FASTA, letters, encoding, windows, shards."""
