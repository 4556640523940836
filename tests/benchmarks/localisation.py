"""How long `localisation` takes for 1,000 maps of 256×256 on one thread, and how much memory beside them.

    python -m tests.benchmarks.localisation

At most 30 s are allowed.
"""

import resource
import time

import numpy as np

from advad.analysis.localisation import localisation

IMAGES, SIDE = 1000, 256


def main() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.standard_normal((IMAGES, SIDE, SIDE), dtype=np.float32), np.zeros((IMAGES, SIDE, SIDE), np.uint8)
    for image in range(0, IMAGES, 2):
        for row, column, height, width in rng.integers([0, 0, 4, 4], [220, 220, 30, 30], (3, 4)):
            masks[image, row : row + height, column : column + width] = 255
        maps[image][masks[image] > 0] += 1.5
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    print(localisation(maps, masks))
    seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{seconds:.1f} s; {(after - before) / 1024:.0f} MiB beside {(maps.nbytes + masks.nbytes) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
