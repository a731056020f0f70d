"""The published format of the Small CNN Zoo, written with NumPy and csv alone: nothing here is ww's."""

import csv
import gzip
import io

import numpy as np

EPOCHS = (0, 1, 20)
LAYOUT = (
    ("sequential/conv2d/bias:0", (2,)),
    ("sequential/conv2d/kernel:0", (3, 3, 1, 2)),
    ("sequential/dense/bias:0", (10,)),
    ("sequential/dense/kernel:0", (2, 10)),
)
PARAMETERS = 50


def metrics(networks, epochs=EPOCHS, seed=0):
    """The rows of the table, as the published one has them: an index, config.*, laststep, modeldir, step, results."""
    random = np.random.default_rng(seed)
    rows = []
    for network in range(networks):
        config = {
            "config.activation": str(random.choice(["relu", "tanh"])),
            "config.dataset": "mnist",
            "config.dropout": repr(random.uniform(0, 0.7)),
            "config.epochs": str(epochs[-1]),
            "config.learning_rate": repr(10 ** random.uniform(-4, -1)),
            "config.optimizer": str(random.choice(["adam", "rmsprop", "sgd"])),
        }
        for epoch in epochs:
            results = {
                name: repr(float(np.float32(random.uniform())))
                for name in ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
            }
            own = {
                "laststep": str(epoch == epochs[-1]),
                "modeldir": f"/zoo/permanent/{network:05x}",
                "step": str(epoch),
            }
            rows.append({"": str(len(rows)), **config, **own, **results})
    return rows


def weights_of(rows, dtype=np.float32, order="C", seed=1):
    """Weights of that many checkpoints."""
    return np.asarray(np.random.default_rng(seed).standard_normal((rows, PARAMETERS)), dtype=dtype, order=order)


def write(folder, weights=None, rows=None, layout=None, packed=True):
    """Write the three files, and return what was written: the folder, the weights and the rows."""
    rows = metrics(4) if rows is None else rows
    weights = weights_of(len(rows)) if weights is None else weights
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "weights.npy", weights, allow_pickle=True)
    text = as_csv(list(rows[0]), [list(row.values()) for row in rows])
    if packed:
        (folder / "metrics.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        (folder / "metrics.csv").write_text(text)
    (folder / "layout.csv").write_text(layout if layout is not None else layout_text())
    return folder, weights, rows


def layout_text(layout=LAYOUT):
    at, lines = 0, []
    for name, shape in layout:
        lines.append([name, at, at + int(np.prod(shape)), str(shape)])
        at += int(np.prod(shape))
    return as_csv(["varname", "start_idx", "end_idx", "shape"], lines)


def as_csv(header, rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
