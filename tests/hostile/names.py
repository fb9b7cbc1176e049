"""Names that try to be more than text, and data sets in which everything that has a name has such a one.

`python -m tests.hostile.names FOLDER` writes the files.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from dynamics import read

ELSEWHERE = "host.invalid"
"""The host that names point to; nothing may be asked of it."""
MARK = "drifted"
"""What a script out of a name would set on the page."""
MARKUP = (
    f"![cell](http://{ELSEWHERE}/p.png)",
    f"[go](http://{ELSEWHERE}/)",
    f"[run](javascript:window.{MARK}=1)",
    f"<script>window.{MARK}=2</script>",
    f'<img src=x onerror="window.{MARK}=3">',
    f'<a href="http://{ELSEWHERE}/a">go</a>',
    f"</script><script>window.{MARK}=4</script>",
    f"\"><svg onload='window.{MARK}=5'>",
    f'<a href="javascript:window.{MARK}=6">run</a>',
    f"javascript:window.{MARK}=7",
    "<b>bold</b> <i>it</i>",
    "a<br>b<sup>2</sup>",
    f"<span style=\"background:url('http://{ELSEWHERE}/s')\">s</span>",
    f"<iframe src='http://{ELSEWHERE}/f'></iframe>",
    "<extra>hidden</extra>",
    "<!-- gone -->",
    "&lt;b&gt; &amp; &#60;",
)
TEMPLATES = (
    "%{y}",
    "%{customdata[0]}",
    "%{x:.2f} of %{z}",
    "{} {0} {name}",
    "%s %d %%",
    "$x^2$",
    "$$y$$ and \\(z\\)",
    "${window.drifted=8}",
    "{{7*7}}",
)
STREAMLIT = (
    ":material/home:",
    ":red[not red]",
    ":small[tiny] :help[?]",
    ":dog: :streamlit:",
    ":blue-background[x]",
    ":color[x]{foreground=red}",
    "HSC -> Mono <- B <-> T -- >= <= ~=",
    "12:30:15",
)
ADDRESSES = (
    f"http://{ELSEWHERE}/bare",
    f"https://{ELSEWHERE}/bare?a=1&b=2",
    f"www.{ELSEWHERE}",
    f"ann@{ELSEWHERE}",
    f"mailto:ann@{ELSEWHERE}",
    f"<https://{ELSEWHERE}>",
    f"ftp://{ELSEWHERE}/x",
)
MARKDOWN = (
    "**strong** __under__",
    "*em* _em_ ~~gone~~",
    "`code` ``two``",
    "# heading",
    "> quote",
    "- item",
    "1. item",
    "+ plus",
    "|a|b|",
    "[^1] [x][y]",
    "a\\b \\* \\n",
    "---",
    "~approx~",
    "Cd4+/Cd8-",
)
SHEETS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "＝1+1",
    " =1+1",
    "'=1+1",
    '=HYPERLINK("http://x","y")',
    "a,b;c\"d'",
)
ODD = (
    "\u202egnp.exe",
    "\u2067abc\u2069\u202d123",
    "a\u200bb\u200d",
    "\ufeffbom",
    "bell\x07esc\x1b[31m",
    "line\nbreak",
    "tab\there",
    "../../etc/passwd",
    "C:\\temp\\x",
    "long " + "n" * 300,
    "é e\u0301 ü 细胞 🧬",
    "2020-01-01",
    "1e5",
    "None",
    "nan",
    "constructor",
    "__proto__",
    "null",
)
TIMES = ("day 0 <b>x</b>", f"day 1 ![x](http://{ELSEWHERE}/t)", "day 2 %{y}")
"""Labels of three times."""
NAMES = (*MARKUP, *TEMPLATES, *STREAMLIT, *ADDRESSES, *MARKDOWN, *SHEETS, *ODD)
FILE_NAMES = (
    f"![c](http:__{ELSEWHERE}_p.png).h5ad",
    f"<img src=x onerror=window.{MARK}=9>.h5ad",
    f"<script>window.{MARK}=10<_script>.h5ad",
    "<b>bold<_b>.h5ad",
    "%{y} $x^2$ {0}.h5ad",
    ":red[x] :dog:.h5ad",
    f"www.{ELSEWHERE}.h5ad",
    f"ann@{ELSEWHERE}.h5ad",
    "=1+1.h5ad",
    "@SUM(A1).h5ad",
    "..\\..\\up.h5ad",
    "`code` **x**.h5ad",
    "\u202edah5.exe.h5ad",
    "a\u200bb.h5ad",
    "&lt;b&gt;.h5ad",
    "# heading.h5ad",
    "'; DROP TABLE jobs; --.h5ad",
    "n" * 200 + ".h5ad",
    "细胞 é.h5ad",
)
"""As a file system takes them: none holds a stroke."""


def cells(
    types: tuple[str, ...] = MARKUP[:5],
    *,
    times: tuple[str, ...] | None = None,
    genes: tuple[str, ...] = NAMES,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> AnnData:
    """Return 60 cells at each of three times, in which all that has a name has a hostile one.

    Parameters
    ----------
    types
        Cell types.
    times
        Labels of three times; numbers where there are none.
    columns
        Names of the columns "day", "cell_type", "batch", "condition", "clone" and of the arrays "X_pca" and
        "X_umap".
    """
    rng = np.random.default_rng(seed)
    named = {
        **{name: name for name in ("day", "cell_type", "batch", "condition", "clone")},
        **(columns or {}),
    }
    n, day = 180, np.repeat([0, 1, 2], 60)
    states = (rng.normal(size=(n, 4)) + np.outer(day, [2.5, 0, 0, 0])).astype(np.float32)
    kinds = rng.integers(0, len(types), n)
    states[:, 1] += 3.0 * kinds
    obs = pd.DataFrame(index=[f"{NAMES[k % len(NAMES)]} {k}" for k in range(n)])
    obs[named["day"]] = np.array(times)[day] if times else day
    obs[named["cell_type"]] = pd.Categorical(np.array(types, dtype=object)[kinds])
    obs[named["batch"]] = pd.Categorical(np.array(TEMPLATES, dtype=object)[rng.integers(0, 3, n)])
    obs[named["condition"]] = pd.Categorical(np.array(STREAMLIT, dtype=object)[rng.integers(0, 2, n)])
    obs[named["clone"]] = pd.Categorical(np.array(NAMES, dtype=object)[rng.integers(0, 30, n)])
    counts = rng.poisson(np.exp(states[:, :1] / 4 + rng.normal(size=(1, len(genes))))).astype(np.float32)
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=list(genes)))
    adata.var["symbol <b>"] = list(genes)
    adata.obsm[named.get("X_pca", "X_pca")] = states
    adata.obsm[named.get("X_umap", "X_umap")] = states[:, :2]
    adata.uns["<img src=x>"] = "![x](http://host.invalid/u)"
    return adata


def plain(markdown: str) -> str:
    """Return what a reader sees of text that `ui.text.escape` made."""
    return re.sub(r"\\(.)", r"\1", markdown.replace(":small[]", "")).replace("&#xFEFF;", "\ufeff")


def files() -> dict[str, AnnData]:
    """Return the hostile data sets by a plain name."""
    columns = {"cell_type": "<b>type</b>", "batch": ":red[batch]", "condition": "%{y}", "clone": "![x](y)"}
    return {
        "markup": cells(MARKUP[:6]),
        "markup-more": cells(MARKUP[6:12], seed=1),
        "templates": cells(TEMPLATES[:6], seed=2),
        "streamlit": cells(STREAMLIT[:6], seed=3),
        "addresses": cells(ADDRESSES[:6], seed=4),
        "markdown": cells(MARKDOWN[:6], seed=5),
        "sheets": cells(SHEETS[:6], seed=6),
        "odd": cells(ODD[:6], seed=7),
        "columns": cells(MARKDOWN[6:9], columns=columns, seed=8),
        "times": cells(TEMPLATES[3:6], times=TIMES, seed=9),
    }


if __name__ == "__main__":
    for name, adata in files().items():
        read.write_h5ad(adata, Path(sys.argv[1]) / f"{name}.h5ad")
