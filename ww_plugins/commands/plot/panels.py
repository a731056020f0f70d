"""What has a panel of its own in a picture of metrics. Imports nothing: the command line reads it at its start."""

from enum import StrEnum


class Panels(StrEnum):
    """What has a panel of its own."""

    all = "all"
    series = "series"
    model = "model"
