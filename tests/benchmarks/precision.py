"""AUROC and training time in float32 and in bfloat16. `python -m tests.benchmarks.precision [METHOD …] [--seeds N]`.

Digit 8 of MNIST-lab, which comes with advad: 1,000 training images, 1,000 test images, last epoch, one thread; with
`--long` 2,000, and as many epochs as the lessons take. Both precisions run in turn, each first with every other seed,
and are timed in processor time, which a busy machine disturbs less. Which methods `precision="auto"` leaves at float32
was decided by this table: `data/findings/precision.md`.
"""

import statistics
import time

import click
import torch

import advad

LIMIT = 0.005  # of |mean difference of AUROC|, above which a method stays at float32
PRECISIONS = ("float32", "bfloat16")
SETTINGS = {  # beside the defaults: some seconds each
    "AE": {"epochs": 20},
    "DAE": {"epochs": 20},
    "VAE": {"epochs": 20},
    "DeepSVDD": {"pretrain_epochs": 5, "epochs": 10},
    "DeepSAD": {"pretrain_epochs": 5, "epochs": 10},
    "ARAE": {"epochs": 20, "attack_steps": 5, "activation": "relu"},
    "ALCN": {"epochs": 20},
    "OLED": {"epochs": 10},
    "AAE": {"epochs": 20},
    "ITSR": {"pretrain_epochs": 10, "rounds": 5, "refine_epochs": 2},
    "LSA": {"epochs": 20},
    "OCGAN": {"epochs": 5, "mining_start": 2},
    "AGAD": {"epochs": 4, "conv_width": 8},
    "GANomaly": {"epochs": 8, "conv_width": 8, "learning_rate": 1e-3},
    "SkipGANomaly": {"epochs": 8, "conv_width": 8, "learning_rate": 1e-3},
    "Berg": {"growth_epochs": 2, "epochs": 5, "width": 8},
    "FAnoGAN": {"gan_epochs": 5, "epochs": 5, "width": 8},
    "AnoGAN": {"epochs": 8, "width": 8, "search_steps": 20},
    "EGBAD": {"epochs": 8, "width": 8},
    "ADAE": {"epochs": 8, "conv_width": 8},
    "GeoTrans": {"epochs": 2, "conv_width": 8},
}
LONG = {  # as in the profile lab of lessons 01, 05 and 02
    "ARAE": {"epochs": 40, "attack_steps": 5, "activation": "relu", "batch_size": 64, "latent_dim": 128},
    "ALCN": {"epochs": 30, "widths": (512, 256), "batch_size": 64, "latent_dim": 64},
    "ITSR": {
        "pretrain_epochs": 20,
        "rounds": 6,
        "refine_epochs": 2,
        "epochs": 12,
        "widths": (256, 256),
        "batch_size": 64,
    },
}


def measured(method: str, precision: str, seed: int, long: bool = False) -> tuple[float, float]:
    """Return the AUROC of a method, and the processor seconds of its training."""
    split = advad.one_class(
        advad.load("MNIST-lab"),
        normal=8,
        labelled=0.05 if method == "DeepSAD" else 0.0,
        train_size=2000 if long else 1000,
        test_size=1000,
        seed=seed,
    )
    settings = LONG[method] if long else SETTINGS[method]
    detector = getattr(advad, method)(**settings, precision=precision, seed=seed, device="cpu")
    start = time.process_time()
    detector.fit(split.train, split.train_y, progress=False)
    seconds = time.process_time() - start
    return advad.auroc(split.test_is_anomaly, detector.anomaly_score(split.test)), seconds


def row(method: str, seeds: int, long: bool) -> str:
    """Return a line of the table."""
    auroc: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    took: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed in range(seeds):
        for precision in PRECISIONS[:: -1 if seed % 2 else 1]:
            value, seconds = measured(method, precision, seed, long)
            auroc[precision].append(value)
            took[precision].append(seconds)
    first, second = (auroc[precision] for precision in PRECISIONS)
    differences = [b - a for a, b in zip(first, second, strict=True)]
    mean = statistics.mean(differences)
    ratio = statistics.median(b / a for a, b in zip(*took.values(), strict=True))
    cells = [
        method,
        f"{statistics.mean(first):.4f} ± {statistics.stdev(first):.4f}",
        f"{statistics.mean(second):.4f}",
        f"{mean:+.4f}",
        " ".join(f"{difference:+.4f}" for difference in differences),
        f"{ratio:.2f}",
        f"{statistics.mean(took['float32']):.1f}",
        "bfloat16" if abs(mean) <= LIMIT else "float32",
    ]
    return f"| {' | '.join(cells)} |"


@click.command()
@click.argument("methods", nargs=-1, type=click.Choice(list(SETTINGS)))
@click.option("--seeds", type=click.IntRange(2), default=3, show_default=True)
@click.option("--long", is_flag=True, help="Train as long as the lessons do.")
def main(methods: tuple[str, ...], seeds: int, long: bool) -> None:
    """Print a table of METHODS, all unless named."""
    torch.set_num_threads(1)
    measured("AE", "bfloat16", 0)  # warms up
    print("| method | float32 ± sd | bfloat16 | mean difference | by seed | time ratio | float32, s | auto |")
    print("|---|---|---|---|---|---|---|---|")
    for method in methods or (LONG if long else SETTINGS):
        print(row(method, seeds, long), flush=True)


if __name__ == "__main__":
    main()
