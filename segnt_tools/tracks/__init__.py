"""The tracks file and bigWig."""
