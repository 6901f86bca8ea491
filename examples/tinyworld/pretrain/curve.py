"""Draw the loss curves of the logs."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from loop import LOGS, read_log

NAMES = {
    "vae": "autoencoder",
    "decoder": "decoder alone",
    "unet": "UNet + text encoder",
    "clip": "CLIP (evaluation)",
}


def smooth(values: list[float], window: int) -> list[float]:
    """Means of consecutive windows ending at each point."""
    starts = [max(0, i + 1 - window) for i in range(len(values))]
    return [sum(values[a : i + 1]) / (i + 1 - a) for i, a in enumerate(starts)]


def draw(out: Path) -> None:
    """One panel per log that exists."""
    logs = {name: read_log(LOGS / f"{name}.jsonl") for name in NAMES}
    logs = {name: lines for name, lines in logs.items() if lines}
    figure, panels = plt.subplots(1, len(logs), figsize=(4.2 * len(logs), 3), squeeze=False)
    for panel, (name, lines) in zip(panels[0], logs.items(), strict=True):
        steps, losses = [line["step"] for line in lines], [line["loss"] for line in lines]
        panel.plot(steps, losses, color="#c7d3e8", linewidth=0.8)
        panel.plot(steps, smooth(losses, 12), color="#2e5cd2")
        minutes = lines[-1]["seconds"] / 60
        panel.set(title=f"{NAMES[name]}, {minutes:.0f} min", xlabel="step", ylabel="loss")
        panel.set_yscale("log")
        panel.grid(alpha=0.25, which="both")
    figure.tight_layout()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    draw(LOGS / "curves.png")
