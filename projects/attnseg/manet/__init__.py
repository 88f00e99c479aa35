"""MA-Net: a decoder with position-wise and multi-scale fusion attention."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
