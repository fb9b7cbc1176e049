"""Labels of times as people write them, with the order and values that they mean.

`None` for the values says that the labels cannot be read for sure, so the user must be asked; what is
`said` must occur in what is told about the reading.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Labels:
    """One column and what it means."""

    labels: list
    values: list | None
    """In the order of the labels; NaN where a label is none; None where nothing can be told."""
    name: str = "t"
    said: str = ""
    categories: list | None = None
    """Order of the categories where the file gives one."""

    def column(self) -> pd.Series:
        """As obs holds it."""
        if self.categories is None:
            return pd.Series(self.labels, name=self.name)
        made = pd.Categorical(self.labels, categories=self.categories, ordered=True)
        return pd.Series(made, name=self.name)


NO = np.nan
BOTH = "one axis"
CASES = [
    Labels(["day 14", "day 3"], [14, 3]),
    Labels(["D10", "D2"], [10, 2]),
    Labels(["D-2", "D0", "D2"], [-2, 0, 2]),
    Labels(["day-3", "day-14"], [3, 14], said="not as a minus"),
    Labels(["Day_0", "Day_12", "Day_3"], [0, 12, 3]),
    Labels(["d01", "D1", "Day 10"], [1, 1, 10]),
    Labels(["P0", "E18.5"], [19.5, 18.5], said="P0 was placed"),
    Labels(["E9.5", "E10.5", "P0", "adult"], [9.5, 10.5, 19.5, NO], said="P0 was placed"),
    Labels(["E8_5", "E10_0", "E9_75"], [8.5, 10, 9.75], said="underscore"),
    Labels(["day0_5", "day1_0", "iPSC"], [0.5, 1, NO], said="underscore"),
    Labels(["E8_1", "E8_5", "E9_2"], [8, 8, 9], said="inside longer labels"),
    Labels(["E8.25", "E8.5a", "E8.5b"], [8.25, 8.5, 8.5], said="inside longer labels"),
    Labels(["P7", "P60", "1y"], [7, 60, 365.25], said=BOTH),
    Labels(["0,5", "1,5", "10"], [0.5, 1.5, 10]),
    Labels(["0,500", "1,000", "2"], [0.5, 1, 2]),
    Labels(["1,000", "500"], [1000, 500], said="thousands"),
    Labels(["Day 3.5", "Day 10,5"], [3.5, 10.5]),
    Labels(["12h", "1 day"], [12, 24], said=BOTH),
    Labels(["0h", "30min", "2h", "1d"], [0, 0.5, 2, 24], said=BOTH),
    Labels(["2d", "1w", "3w", "2m"], [2 / 7, 1, 3, 2 * 30.4375 / 7], said=BOTH),
    Labels(["5m", "1h", "2h"], [5 / 60, 1, 2], said=BOTH),
    Labels(["M0", "M3", "M12"], [0, 3, 12]),
    Labels(["3m", "24m", "18m"], [3, 24, 18], name="age"),
    Labels(["8 wk", "20 wk", "1 mo"], [8, 20, 30.4375 / 7], said=BOTH),
    Labels(["2w3d", "1w5d"], [17 / 7, 12 / 7]),
    Labels(["1h30", "2h"], [1.5, 2]),
    Labels(["1h30m", "2h"], [1.5, 2]),
    Labels(["week_2_day_3", "week_1_day_5"], [17 / 7, 12 / 7]),
    Labels(["d10_s1", "d2_s1", "d2_s2"], [10, 2, 2], said="inside longer labels"),
    Labels(["d10_rep1", "d2_rep1", "d2_rep2"], [10, 2, 2], said="inside longer labels"),
    Labels(["WT_12h", "KO_120h"], [12, 120]),
    Labels(["D14 organoid", "D3 organoid"], [14, 3], said="inside longer labels"),
    Labels(["Day 0 (control)", "Day 10 (treated)", "Day 3 (treated)"], [0, 10, 3], said="inside"),
    Labels(["week 2", "week 10"], [2, 10]),
    Labels(["24hpf", "6hpf", "2 dpf"], [24, 6, 48], said=BOTH),
    Labels(["12 h.p.f.", "24 h.p.f."], [12, 24], said="inside longer labels"),
    Labels(["3dpci", "10dpci"], [3, 10]),
    Labels(["T0", "T10", "T2"], [0, 10, 2]),
    Labels(["t_0", "t_10", "t_2"], [0, 10, 2]),
    Labels(["t=0h", "t=120h", "t=12h"], [0, 120, 12]),
    Labels(["-1", "0", "1"], [-1, 0, 1]),
    Labels(["−3", "0", "+3"], [-3, 0, 3]),
    Labels(["minus 1", "0", "1"], [-1, 0, 1]),
    Labels([-5.0, 0.0, 2.5], [-5, 0, 2.5]),
    Labels([1e-3, 1e-2, 1.0], [1e-3, 1e-2, 1.0]),
    Labels(["1", "10", "2"], [1, 10, 2]),
    Labels(["1.000", "10.000", "2.000"], [1, 10, 2]),
    Labels(["1-2h", "10-12h", "2-4h"], [1.5, 11, 3]),
    Labels(["390-450", "> 650", "210-270"], [420, 680, 240], name="embryo.time.bin", said="no end"),
    Labels(["(0.0, 5.2]", "(10.0, 15.0]", "(5.2, 10.0]"], [2.6, 12.5, 7.6]),
    Labels(["HH10", "HH4", "HH25"], [10, 4, 25]),
    Labels(["CS7", "CS10", "CS23"], [7, 10, 23]),
    Labels(["stage 28", "stage 9"], [28, 9]),
    Labels(["GW8", "GW20", "GW10"], [8, 20, 10]),
    Labels(["8 PCW", "20 PCW", "10 PCW"], [8, 20, 10]),
    Labels(["2021-03-04", "2021-02-27"], [5, 0], said="dates"),
    Labels(["20210304", "20210227"], [5, 0], said="dates"),
    Labels([20210304, 20210227], [5, 0], said="dates"),
    Labels(["2021-03-04T12:00:00", "2021-03-04"], [0.5, 0], said="dates"),
    Labels(list(pd.to_datetime(["2021-03-04", "2021-02-27"])), [5, 0], said="dates"),
    Labels(list(pd.to_timedelta(["1 days", "12 hours"])), [24, 12]),
    Labels(["early", "late", "mid"], [0, 2, 1], said="usual order"),
    Labels(["1 cell", "16 cell", "2 cell", "zygote"], [1, 3, 2, 0], said="usual order"),
    Labels(["8-cell", "2-cell", "morula"], [1, 0, 2], said="usual order"),
    Labels(["embryo", "larva", "adult"], [0, 1, 2], said="usual order"),
    Labels(["24h", "ctrl", "6h"], [24, NO, 6]),
    Labels(["iPSC", "D2", "D10"], [NO, 2, 10]),
    Labels(["E7.0", "E7.25", "mixed_gastrulation"], [7, 7.25, NO]),
    Labels(["inf", "1", "2"], [NO, 1, 2]),
    Labels(["b", "c", "a"], [1, 0, 2], categories=["c", "b", "a"], said="order of the categories"),
    Labels(["ESC", "d2", "d10"], [0, 1, 2], categories=["ESC", "d2", "d10"], said="order of the categories"),
    Labels(["d2", "d10"], [2, 10], categories=["d10", "d2"]),
    Labels(["pre", "post"], None),
    Labels(["I", "II", "IX", "V"], None),
    Labels(["Stage IV", "Stage IX", "Stage V"], None),
    Labels(["one", "two", "ten"], None),
    Labels(["day three", "day ten"], None),
    Labels(["Mon", "Tue"], None),
    Labels(["January", "February"], None),
    Labels(["01/02/2021", "15/01/2021"], None),
    Labels(["03.04.2021", "01.05.2021"], None),
    Labels(["10:30", "09:15"], None),
    Labels(["10-1", "10-2"], None),
    Labels(["C1D1", "C1D8", "C2D1"], None),
    Labels(["L1", "L4", "adult"], None),
    Labels(["control", "treated"], None),
    Labels([True, False], None),
    Labels(["True", "False"], None),
    Labels([None, None], None),
    Labels([np.nan, np.nan], None),
    Labels(list(np.linspace(0, 1, 240)), None),
]
