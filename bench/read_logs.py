"""Reads a run's logs as other tools do: with TensorBoard's own package, pandas, and json.

    python bench/read_logs.py artifacts/latest

Needs `pip install tensorboard pandas`. Fails where the three do not say the same.
"""

import json
import pathlib
import sys

import pandas
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> None:
    run = pathlib.Path(sys.argv[1])
    metrics, steps = pandas.read_csv(run / "metrics.csv"), pandas.read_csv(run / "steps.csv")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    tensorboard = EventAccumulator(str(run), size_guidance={"scalars": 0})
    tensorboard.Reload()

    def scalars(tag):
        found = tensorboard.Scalars(tag)
        times = [event.wall_time for event in found]
        assert times == sorted(times), f"{tag}: times go back"
        return pandas.Series([event.value for event in found], [event.step for event in found])

    def same(name, series, expected):
        assert list(series.index) == list(expected.index), f"{name}: other steps"
        assert ((series - expected).abs() <= 1e-6 * expected.abs()).all(), f"{name}: other figures"

    for table, tags in [
        (steps, {"loss/step": "loss", "learning_rate": "learning_rate"}),
        (metrics, {"loss/train": "train_loss", "accuracy/train": "train_accuracy",
                   "loss/valid": "valid_loss", "accuracy/valid": "valid_accuracy"}),
    ]:
        for tag, column in tags.items():
            expected = table.set_index("step")[column].dropna()
            if len(expected):
                same(tag, scalars(tag), expected)
    for name, table in [("step", steps), ("epoch", metrics)]:
        rows = [event for event in events if event["event"] == name]
        # A run that was cut before its first epoch's end has no row of it, and its table a header.
        rows = pandas.DataFrame(rows, columns=table.columns).astype(table.dtypes)
        pandas.testing.assert_frame_equal(rows, table, check_index_type=False)
    assert not steps["step"].duplicated().any() and not metrics["epoch"].duplicated().any()
    print(f"{run}: {len(steps)} steps, {len(metrics)} epochs, {len(events)} events agree")


if __name__ == "__main__":
    main()
