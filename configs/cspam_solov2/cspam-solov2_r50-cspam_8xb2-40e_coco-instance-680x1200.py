# Table 1, row 2: the CSPAM backbone alone.
_base_ = "./solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(backbone=dict(type="attnseg.CSPAMResNet"))
