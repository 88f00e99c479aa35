"""COCO's run-length codes: the public name of what the cellar implements, for converters too."""

from attnseg.rle import check_counts, decode_mask, mask_area, mask_box, run_lengths

__all__ = ["check_counts", "decode_mask", "mask_area", "mask_box", "run_lengths"]
