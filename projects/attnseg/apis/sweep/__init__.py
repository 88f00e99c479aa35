"""Sweeps: many runs from one file, run here or on Slurm, and their table; docs/sweeps.md."""
