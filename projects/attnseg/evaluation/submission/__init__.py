"""Saved predictions, and the files that benchmark servers ask for, packed from them.

`saved` reads the folder that `attnseg.PredictionWriter` leaves; each other module named after a
server format has its ``pack`` and, beside it, the ``validate`` that reads such a file back.
"""
