"""Runs inside the sandbox: draws benchmark.png from the benchmark's JSON, which lies in its inputs."""

import matplotlib.pyplot as plt

OURS, ENGINE, PEER, GOOD, BAD = "#1f6feb", "#8b949e", "#d0883c", "#2da44e", "#cf222e"
report = load_file("benchmark.json")
samples = {(each["scenario"], each["name"]): each["p50"] for each in report["samples"]}
figures = report["ratios"] + report["absolute"]


def colour(name):
    if name.startswith("Sandglass"):
        return OURS
    return ENGINE if name.startswith(("docker run", "the engine")) else PEER


def duration(seconds):
    ms = seconds * 1000
    return f"{ms:.1f} ms" if ms < 10 else f"{ms:.0f} ms" if ms < 1000 else f"{seconds:.2f} s"


def tidy(axes, title):
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def bars_of_time(axes, scenario, title):
    rows = [
        (name, p50)
        for (of, name), p50 in samples.items()
        if of == scenario and not name.startswith(("first byte", "prewarm")) and "until its" not in name
    ]
    rows.sort(key=lambda row: -row[1])
    bars = axes.barh([name.replace(", ", ",\n").replace(" on a ", "\non a ") for name, _ in rows], [p50 * 1000 for _, p50 in rows], color=[colour(n) for n, _ in rows])
    axes.bar_label(bars, [duration(p50) for _, p50 in rows], padding=4, fontsize=9)
    axes.set_xscale("log")
    axes.set_xlim(min(p50 for _, p50 in rows) * 400, max(p50 for _, p50 in rows) * 2600)
    axes.set_xlabel("median, ms, logarithmic", fontsize=9)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    tidy(axes, title)


def bars_of_crowds(axes):
    rates = {each["name"]: each["value"] for each in figures if each["unit"] == "per second"}
    crowds = sorted({int(name.partition(":")[0]) for name in rates})
    for shift, who, shade in ((-0.2, "Sandglass", OURS), (0.2, "bare loop", ENGINE)):
        label = "Sandglass, harvested and committed" if who == "Sandglass" else "bare loop over the engine's API"
        bars = axes.bar(
            [place + shift for place in range(len(crowds))],
            [rates[f"{crowd}: {who}"] for crowd in crowds],
            0.38,
            color=shade,
            label=label,
        )
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=9)
    axes.set_xticks(range(len(crowds)), [f"{crowd} owner{'s' * (crowd > 1)}" for crowd in crowds])
    axes.set_ylim(0, 1.3 * max(rates.values()))
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_ylabel("executions per second", fontsize=9)
    tidy(axes, "Cold print(1) by so many owners at once")


def promises(axes):
    rows = []
    for each in figures:
        if each["bound"] is None:
            continue
        share = each["bound"] / each["value"] if each["at_least"] else each["value"] / each["bound"]
        unit = "" if each["unit"] == "ratio" else f" {each['unit']}"
        sign = "≥" if each["at_least"] else "≤"
        label = f"{each['scenario']}: {each['name']}".replace("numpy, pandas, pyplot, describe", "imports")
        label = label.replace("owners at once: ", "").replace("executions per second of ", "rate, ")
        seen = f"{each['value']:.3g}{unit}  ({sign} {each['bound']:g})"
        rows.append((label, min(share, 1.45), seen, each["kept"]))
    rows.reverse()
    bars = axes.barh([row[0] for row in rows], [row[1] for row in rows], color=[GOOD if row[3] else BAD for row in rows])
    axes.bar_label(bars, [row[2] for row in rows], padding=4, fontsize=8)
    axes.axvline(1, color="black", linewidth=1, linestyle=":")
    axes.set_xlim(0, 1.75)
    axes.set_xticks([0, 0.5, 1], ["0", "half", "all that was\npromised"], fontsize=9)
    axes.tick_params(axis="y", labelsize=8)
    tidy(axes, "Promises, shorter is better")


print_, science = "print(1)", "numpy, pandas, pyplot, describe"
panels = []
for scenario, title in ((print_, "print(1), from call to result"), (science, "import numpy, pandas, pyplot; describe")):
    if any(of == scenario for of, _ in samples):
        panels.append(lambda axes, s=scenario, t=title: bars_of_time(axes, s, t))
if any(each["unit"] == "per second" for each in figures):
    panels.append(bars_of_crowds)
if any(each["bound"] is not None for each in figures):
    panels.append(promises)
rows = -(-len(panels) // 2)
figure, grid = plt.subplots(rows, 2, figsize=(13, 1.2 + 4.1 * rows), squeeze=False, layout="constrained")
for axes, panel in zip(grid.flat, panels):
    panel(axes)
for axes in list(grid.flat)[len(panels) :]:
    axes.set_axis_off()
machine = report["machine"]
figure.suptitle(
    f"{machine['cores']} cores, {machine['memory']}, Linux {machine['kernel']}, {machine['engine']}, {machine['runtime']}",
    fontsize=10,
    color="#57606a",
)
figure.savefig("benchmark.png", dpi=100)
plt.close(figure)
