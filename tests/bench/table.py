# SPDX-License-Identifier: MIT
"""The rows that are printed and kept for the report, and the goals that were missed."""
rows = []  # (section, name, value, ratio, goal, mark)
plots = []  # (title, unit, [(name, number)])
missed = []
current = [""]


def row(name, value, ratio="", goal="", good=None):
    mark = "" if good is None else "ok" if good else "MISSED"
    if good is False:
        missed.append(name)
    rows.append((current[0], name, value, ratio, goal, mark))
    print(f"  {name:<52} {value:>22}  {ratio:>8}  {goal:<26} {mark}".rstrip(), flush=True)


def section(title):
    current[0] = title
    print(f"\n{title}")


def plot(title, unit, numbers):
    """A picture of the report: bars by name."""
    plots.append((title, unit, [(name, number) for name, number in numbers if number is not None]))


def times(value):
    return f"{value:.2f} x"
