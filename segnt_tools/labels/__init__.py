"""Annotation and regulatory files to per-base labels."""
