"""CSPAM-SOLOv2: SOLOv2 for street scenes with position attention."""

import attnseg.registry  # noqa: F401  (sets the stack up before mmdet's models are imported)
