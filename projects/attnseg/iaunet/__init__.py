"""IAUNet: query-based U-Net for instances of cells."""
