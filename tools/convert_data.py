"""Convert boxes between VOC, COCO, YOLO, CSV, CVAT and LabelMe."""

from _start import start

start('convert_data')
