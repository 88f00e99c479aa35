"""Run-length codes: see `attnseg.evaluation.rle`."""

from attnseg.evaluation.rle import decode_mask

__all__ = ["decode_mask"]
