"""How fast predicting is beside the network alone, and how much memory a long video takes.

    python -m benchmarks.prediction work_dirs/my_run images/
    python -m benchmarks.prediction work_dirs/my_run images/ --save       # appends to results/prediction.csv

Predicting includes reading, decoding and preparing the images, which happens in a thread while the network
computes; the network alone gets batches that are prepared already. Both take the same images, in turns, and
the medians of the rounds are compared. The video is drawn here, at the size of the first image; its memory is
the growth of the process from frame 100 on.
"""

import argparse
import csv
import datetime
import resource
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import mdvision
from mdvision.cpu import available_cores
from mdvision.inference.sources import open_source
from mdvision.inference.trained import TrainedModel
from mdvision.provenance import command_line, hardware_name, package_versions

RESULTS = Path(__file__).resolve().parents[1] / 'results' / 'prediction.csv'


def images_per_second(model: TrainedModel, source: str, batch: int, rounds: int) -> tuple[float, float]:
    """Return images per second of predicting, and of the network alone."""
    prepared = [model._prepared(frame) for frame in open_source(source)]
    batches = [prepared[start : start + batch] for start in range(0, len(prepared), batch)]
    predicting, alone = [], []
    for number in range(rounds + 1):
        started = time.perf_counter()
        for one in batches:
            list(model._predicted(one, 0.3, False))
        between = time.perf_counter()
        for _ in model.stream(source, batch_size=batch, score=0.3):
            pass
        ended = time.perf_counter()
        if number:  # the first round warms up
            alone.append(between - started)
            predicting.append(ended - between)
    return len(prepared) / statistics.median(predicting), len(prepared) / statistics.median(alone)


def video_memory(model: TrainedModel, size: tuple[int, int], frames: int, folder: Path) -> float:
    """Return by how many MiB the process grows after the first 100 frames of a video."""
    path = folder / f'{frames}.avi'
    height, width = size
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 25, (width, height))
    for number in range(frames):
        frame = np.full((height, width, 3), number % 256, np.uint8)
        cv2.circle(frame, (number % width, height // 2), height // 5, (40, 80, 200), -1)
        writer.write(frame)
    writer.release()
    for number, _ in enumerate(model.stream(path, batch_size=16, score=0.3, images=True)):
        if number == 100:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model')
    parser.add_argument('images')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=available_cores())
    parser.add_argument('--save', action='store_true')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = mdvision.load(args.model)
    size = next(iter(model.stream(args.images))).size
    rows = {}
    for batch in (1, 16):
        predicting, alone = images_per_second(model, args.images, batch, args.rounds)
        rows[f'images_per_second_batch_{batch}'] = round(predicting, 2)
        rows[f'network_alone_batch_{batch}'] = round(alone, 2)
        print(f'batch {batch:2}: {predicting:.1f} images per second, the network alone {alone:.1f} '
              f'({predicting / alone:.2f} of it)')  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for frames in (200, 2000):
            rows[f'mib_{frames}_frames'] = round(video_memory(model, size, frames, Path(folder)), 1)
            print(f'{frames} frames: {rows[f"mib_{frames}_frames"]} MiB more than after the first 100')
    if args.save:
        versions = ' '.join(f'{name}={version}' for name, version in package_versions().items())
        row = dict(
            model=model.description['name'], **rows, hardware=hardware_name(), threads=args.threads,
            versions=versions, date=datetime.date.today().isoformat(), command=command_line(),
        )  # fmt: skip
        new = not RESULTS.is_file()
        with RESULTS.open('a', newline='', encoding='utf-8') as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == '__main__':
    main()
