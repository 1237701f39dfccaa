"""Judges windows with Evidently: argument: the baseline's .npy; each line read: a window's .npy."""

import json
import sys

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def frame(path: str) -> pd.DataFrame:
    values = np.load(path)
    return pd.DataFrame(values, columns=[f"column_{index}" for index in range(values.shape[1])])


def main() -> None:
    reference = frame(sys.argv[1])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        report = Report([DataDriftPreset()]).run(frame(line.strip()), reference)
        counted = report.dict()["metrics"][0]["value"]
        print(json.dumps({"share": counted["share"], "columns": reference.shape[1]}), flush=True)


if __name__ == "__main__":
    main()
