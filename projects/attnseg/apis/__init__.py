"""What sits on top: commands as functions."""
