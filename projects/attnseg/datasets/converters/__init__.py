"""Converters of published data sets into the COCO forms that our data sets read."""
