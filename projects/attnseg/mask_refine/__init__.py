"""Mask refinement: from a rough brush stroke to an exact mask."""
