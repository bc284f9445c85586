# SPDX-License-Identifier: MIT
"""build/bench/report.html: the rows of a run, and pictures of them by gnuplot, in one file without a script."""
import html
import os
import platform
import shutil
import subprocess
import time

import table
from programs import BUILD

STYLE = """body{font:14px/1.4 sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}h2{margin:1.6em 0 .3em;font-size:1.1em}
table{border-collapse:collapse;width:100%}td{padding:.15em .6em;border-bottom:1px solid #ddd}td+td{text-align:right;white-space:nowrap}
.ok{color:#176b2c}.MISSED{color:#b3261e;font-weight:bold}figure{margin:1em 0}svg{max-width:100%;height:auto}"""


def quoted(text):
    """A text of gnuplot's, between double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', "'") + '"'


def draw(title, unit, numbers):
    """Bars from the left, the first one on top, as an SVG text. Empty when gnuplot says nothing."""
    ends = list(reversed(numbers))
    labels = ", ".join(f"{quoted(name)} {at}" for at, (name, _) in enumerate(ends))
    most = max((number for _, number in ends), default=0) or 1
    script = [f"set terminal svg size 900,{90 + 26 * len(ends)} dynamic enhanced font 'sans-serif,12'", f"set title {quoted(title)} noenhanced",
              f"set xlabel {quoted(unit)}", f"set xrange [0:{most * 1.15:g}]", f"set yrange [-0.6:{len(ends) - 0.4}]", f"set ytics ({labels}) noenhanced",
              "set grid xtics", "set style fill solid 0.7 noborder", "unset key", "set lmargin 34",
              "$bars << END", *(f"{at} {number:g}" for at, (_, number) in enumerate(ends)), "END",
              "plot $bars using (0):1:(0):2:($1-0.35):($1+0.35) with boxxyerror linecolor rgb '#3465a4', "
              "$bars using 2:1:(sprintf(' %g', $2)) with labels left font 'sans-serif,10'"]
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    at = done.stdout.find("<svg")
    return done.stdout[at:] if done.returncode == 0 and at >= 0 else ""


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}"


def write(version):
    folder = os.path.join(BUILD, "bench")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "report.html")
    text = ["<!DOCTYPE html><html lang=en><meta charset=utf-8><title>infiniservice bench</title>", f"<style>{STYLE}</style>",
            f"<h1>infiniservice {html.escape(version)}: what it costs</h1><p>{html.escape(machine())}</p>"]
    if table.missed:
        text.append(f"<p class=MISSED>Missed: {html.escape(', '.join(table.missed))}</p>")
    pictures = [draw(*one) for one in table.plots if one[2]] if shutil.which("gnuplot") else []
    text += [f"<figure>{picture}</figure>" for picture in pictures if picture]
    section = None
    for title, *cells, mark in table.rows:
        if title != section:
            text.append(("</table>" if section is not None else "") + f"<h2>{html.escape(title)}</h2><table>")
            section = title
        text.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + f"<td class='{mark}'>{mark}</td></tr>")
    text.append("</table></html>\n")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(text))
    return path
