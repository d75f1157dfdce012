"""The HTML report and MultiQC content."""
