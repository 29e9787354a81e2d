"""A model on disk, and which one is the champion."""
