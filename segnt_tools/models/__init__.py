"""Model interface, cards, checkpoints and one file per architecture."""
