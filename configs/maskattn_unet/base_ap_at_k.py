# Table 2 as the released code computes it: COCO AP of at most k detections an image and class.
# Without ann_file the truth is that of the samples, so that one list serves all data sets.
ap_at_k = [
    dict(type="attnseg.CocoInstanceMetric", prefix=f"AP@{k}", max_dets=(1, 10, k))
    for k in (30, 50, 70, 100)
]
