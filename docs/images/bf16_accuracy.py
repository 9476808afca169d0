"""Draws bf16-accuracy.svg: validation accuracy by epoch of three runs in bf16 and three in fp32 (see benchmarks.md)."""

import pathlib

EPOCHS = 3
RUNS = {
    "bf16": ("#d95f02", [[0.3266, 0.5700, 0.6622], [0.3286, 0.5958, 0.6716], [0.4104, 0.4752, 0.6622]]),
    "fp32": ("#1b6ca8", [[0.3374, 0.5578, 0.6480], [0.3648, 0.5518, 0.6622], [0.3764, 0.5172, 0.6612]]),
}
WIDTH, HEIGHT, LEFT, BOTTOM, LOW, HIGH = 480, 300, 60, 250, 0.3, 0.7


def x(epoch):
    return LEFT + (epoch - 1) / (EPOCHS - 1) * (WIDTH - LEFT - 40)


def y(accuracy):
    return BOTTOM - (accuracy - LOW) / (HIGH - LOW) * (BOTTOM - 30)


parts = [
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
]
for tenth in range(3, 8):
    height = y(tenth / 10)
    parts.append(f'<path d="M{LEFT} {height:.1f}H{WIDTH - 40}" stroke="#ddd"/>')
    parts.append(f'<text x="{LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">0.{tenth}</text>')
for epoch in range(1, EPOCHS + 1):
    parts.append(f'<text x="{x(epoch):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{epoch}</text>')
parts.append(f'<text x="{(WIDTH + LEFT - 40) / 2}" y="{BOTTOM + 38}" text-anchor="middle">epoch</text>')
parts.append('<text x="12" y="16">validation accuracy</text>')
for row, (name, (color, runs)) in enumerate(RUNS.items()):
    for run in runs:
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(run, 1))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-opacity="0.35"/>')
    means = [sum(values) / len(values) for values in zip(*runs)]
    points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in enumerate(means, 1))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"/>')
    parts.append(f'<text x="{LEFT + 20}" y="{50 + 18 * row}" fill="{color}">{name}: three runs and their mean</text>')
parts.append("</svg>\n")
pathlib.Path(__file__).with_name("bf16-accuracy.svg").write_text("\n".join(parts))
