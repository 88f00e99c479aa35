"""attnseg: attention-driven segmentation for the OpenMMLab stack."""

__version__ = "0.1.0"
